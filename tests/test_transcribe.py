import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ds2.training import checkpoint
from ds2.transcribing import inputs
from ds2.transcribing.transcriber import Transcriber
from tests.transcribing.conftest import *  # noqa: F403  the tiny model and the speech

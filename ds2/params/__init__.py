"""params.yaml as typed, bounded, documented objects. The defaults are those of a full-size training."""

from ds2.params.loading import from_dict as from_dict
from ds2.params.loading import implied as implied
from ds2.params.loading import load as load
from ds2.params.loading import names as names
from ds2.params.loading import read as read
from ds2.params.loading import values as values
from ds2.params.sections import AugmentSettings as AugmentSettings
from ds2.params.sections import EvaluateSettings as EvaluateSettings
from ds2.params.sections import FeaturesSettings as FeaturesSettings
from ds2.params.sections import ManifestSettings as ManifestSettings
from ds2.params.sections import MeanIstdSettings as MeanIstdSettings
from ds2.params.sections import ModelSettings as ModelSettings
from ds2.params.sections import NoiseSettings as NoiseSettings
from ds2.params.sections import Params as Params
from ds2.params.sections import RuntimeSettings as RuntimeSettings
from ds2.params.sections import SpecAugSettings as SpecAugSettings
from ds2.params.sections import SpecSubAugSettings as SpecSubAugSettings
from ds2.params.sections import SpeedSettings as SpeedSettings
from ds2.params.sections import TextSettings as TextSettings
from ds2.params.sections import TrainSettings as TrainSettings

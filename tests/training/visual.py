"""What VisualDL's own reader finds in a folder."""

from pathlib import Path
from typing import Any

from visualdl import LogReader

# The name of a record's content in VisualDL's format, by the name of the component.
_CONTENTS = {"scalar": "value", "image": "image", "text": "text", "hyper_parameters": "hparam"}


def read_back(folder: Path, component: str) -> dict[str, list[tuple[int, Any]]]:
    """All records of a component in VisualDL's files, (step, content), by tag."""
    records: dict[str, list[tuple[int, Any]]] = {}
    for path in sorted(folder.glob("vdlrecords.*.log")):
        reader = LogReader(file_path=str(path))
        for tag in reader.get_tags().get(component, []):
            found = [(one.id, getattr(one, _CONTENTS[component])) for one in reader.get_data(component, tag)]
            records.setdefault(tag, []).extend(found)
    return records

"""What an HTML page loads or leads to."""

from html.parser import HTMLParser


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "action", "data")]


def references(page: str) -> list[str]:
    """Every attribute of a page that names an address, wherever that is."""
    parser = _References()
    parser.feed(page)
    return parser.found

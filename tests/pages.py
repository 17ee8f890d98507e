"""A page as the tests of reports read it: strictly, so that what is never closed is found."""

from html.parser import HTMLParser

_VOID = {"meta", "img", "input", "link", "br", "wbr"}


class Page(HTMLParser):
    """A page as a tree flattened: every element with its attributes, the text in it, and what it lies in."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self._open = [], []
        self.feed(source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "in": list(self._open), **dict(attributes)}
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", "in": list(self._open), **dict(attributes)})

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def find(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and all(element.get(name.rstrip("_")) == value for name, value in attributes.items())
        ]

    def within(self, outer, tag, **attributes):
        return [element for element in self.find(tag, **attributes) if any(above is outer for above in element["in"])]

    def section(self, name):
        (section,) = self.find("section", id=name)
        return section

    def clips(self, name):
        return [element["text"] for element in self.within(self.section(name), "h4")]

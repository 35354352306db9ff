"""A page as its markup says it, for tests of pages with hostile texts in them."""

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "line", "path", "circle"}


class Page(HTMLParser):
    """Every tag is closed, in its order. tags: how many of each. attributes: (tag, name, value)."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], Counter(), [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, *attr) for attr in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all_of(self, tag, name):
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]

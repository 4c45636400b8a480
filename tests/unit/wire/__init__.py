"""Wire codecs."""

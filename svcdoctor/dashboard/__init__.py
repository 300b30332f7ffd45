"""The application around the widgets: its keys, what they do, and the source that feeds it."""

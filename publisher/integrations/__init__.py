"""Callbacks for training frameworks. Each module needs the extra of its name."""

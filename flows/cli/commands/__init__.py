"""The commands of `gristmill`: their words, arguments and help. What they do is elsewhere, imported when they run."""

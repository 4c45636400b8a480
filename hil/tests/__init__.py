"""The bench tests: a whole lane of real processes, judged on the devices' clock with limits from the target file."""

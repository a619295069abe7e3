"""What goes wrong before anything runs: a setting, or parts that do not fit together."""


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable and says what to do."""


class WiringError(Exception):
    """The parts named by the settings do not fit together; the message says which and what to do."""

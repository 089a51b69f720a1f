"""The version of this service and its interface. Source: semver.org."""

API_VERSION = "0.3.0"

"""Test hosts: Debian systems that boot under systemd in seconds and leave nothing behind."""

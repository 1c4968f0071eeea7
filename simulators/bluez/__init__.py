"""`org.bluez` on a private D-Bus, backed by a bumble host: bleak's own BlueZ backend runs on it unchanged.

It reproduces BlueZ's D-Bus interfaces, objects and errors; not its timing, its GATT cache or its automatic reconnects.
"""

"""Notifications and the channels they go out on: `Notification -> Delivery`."""

"""Home box: reads devices over Bluetooth, keeps every raw packet on disk, publishes until the server's receipt."""

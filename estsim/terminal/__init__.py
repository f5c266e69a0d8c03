"""What a person sees on a terminal: the dashboard, the tables, the forecast and a device's story."""

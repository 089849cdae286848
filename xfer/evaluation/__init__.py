"""How well a method moves a person like a driver and keeps the person."""

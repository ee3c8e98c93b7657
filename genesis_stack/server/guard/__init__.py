"""What a request may hold before the engine hears of it: bounds, identifiers, images, and injection scores."""

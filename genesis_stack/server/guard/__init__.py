"""What a request may hold before the engine hears of it: bounds, identifiers, images, injection scores."""

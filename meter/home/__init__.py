"""What a home knows, plans and decides by itself: nothing of it leaves but what ``participant`` signs."""

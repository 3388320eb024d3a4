"""Programs that print figures, each as one JSON object on its last line."""

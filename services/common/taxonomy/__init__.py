"""The category standard and the crosswalks to it, as versioned data."""

"""What a bundle from elsewhere may say: its values are checked, and what it would touch is shown, before it is kept."""

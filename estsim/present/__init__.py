"""What a person looks at: the dashboard, the tables."""

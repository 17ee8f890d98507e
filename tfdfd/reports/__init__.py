"""Reports: pages that a person looks at, each one HTML file with its pictures inside."""

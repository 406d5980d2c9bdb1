"""Channel layers that need no server: one face over several stores."""

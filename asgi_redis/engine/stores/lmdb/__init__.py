"""A store for the processes of one user: LMDB, and datagrams that wake receivers."""

# SPDX-License-Identifier: Apache-2.0
"""One private PostgreSQL for both programs, durable as in production: every commit waits for the disk."""

from sandbox import postgres

SETTINGS = """
fsync = on
full_page_writes = on
shared_buffers = 128MB
max_wal_size = 2GB
checkpoint_timeout = 30min
"""


class Postgres(postgres.Postgres):
    def __init__(self):
        super().__init__(settings=SETTINGS)
        self.watch = self.session("postgres")

    def commits(self, database):
        """Transactions committed; sessions report theirs late. Asked in another database."""
        return int(self.watch.value("select xact_commit from pg_stat_database where datname = $1", database))

    def close(self):
        if getattr(self, "watch", None):
            self.watch.close()
        super().close()

"""Counts of the table `events` by organization, with nothing of whopulls: delta-rs lists the files, DuckDB reads them."""

import sys

import deltalake
import duckdb

files = deltalake.DeltaTable(sys.argv[1]).file_uris()
rows = duckdb.execute(
    """
    select coalesce(org_id, network_kind, 'none') as who, action, count(*), count(distinct endpoint_id)
    from read_parquet(?, hive_partitioning = true) group by 1, 2 order by 1, 2
    """,
    [files],
).fetchall()
for row in rows:
    print(",".join(str(cell) for cell in row))

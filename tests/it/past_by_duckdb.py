"""What changed between two copies of the table, with nothing of whopulls: delta-rs lists the files, DuckDB joins the rows by id.

A line for each day: the day, events whose columns of network and organization differ, downloads among them, rows that are only in one of the
copies, rows that differ in any other column.
"""

import sys

import deltalake
import duckdb

NETWORK = """endpoint_id, client_net, ip_version, region, city, latitude, longitude, timezone, asn, as_name, network_kind, cloud, cloud_region,
    org_id, org_name, org_domain, org_kind, org_confidence, org_evidence"""
for name, folder in zip(("old", "new"), sys.argv[1:]):
    files = deltalake.DeltaTable(folder).file_uris()
    duckdb.execute(
        f"""
        create table {name} as select id, cast(date as varchar) as date, action, hash(row({NETWORK})) as network,
        hash(columns_but_network) as other from (
            select *, row({NETWORK}) as network_columns,
            row(id, ts, node, seq, host, method, path, status, bytes, duration_us, kind, route, package, version, vars, action, client, os, country, dnt)
            as columns_but_network from read_parquet(?, hive_partitioning = true))
        """,
        [files],
    )
rows = duckdb.execute(
    """
    select coalesce(old.date, new.date) as day,
        count(*) filter (old.network is distinct from new.network and old.id is not null and new.id is not null),
        count(*) filter (old.network is distinct from new.network and old.action in ('pull', 'download')),
        count(*) filter (old.id is null or new.id is null or old.date <> new.date),
        count(*) filter (old.other is distinct from new.other)
    from old full join new on old.id = new.id group by 1 order by 1
    """
).fetchall()
for row in rows:
    print(",".join(str(cell) for cell in row))

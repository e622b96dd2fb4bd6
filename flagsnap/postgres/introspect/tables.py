"""Schemas, tables, views, and all that belongs to a table."""

from psycopg.sql import SQL

from flagsnap.postgres.introspect.scope import OUR_RELATION, OUR_TYPE, ours

# The schema public is in every database that a dump is restored into, whether the dump has it or not.
SCHEMAS = SQL("""
    SELECT 'schema' AS kind, '' AS schema, '' AS table, n.nspname AS name
    FROM pg_namespace n
    WHERE n.nspname <> 'public' AND {ours}
""").format(ours=ours("pg_namespace", "n.oid"))

TABLES = SQL("""
    SELECT 'table' AS kind, n.nspname AS schema, '' AS table, c.relname AS name,
        CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign'
            ELSE CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'ordinary' END END AS kind,
        CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END AS "partition key",
        CASE WHEN c.relispartition THEN parents.names END AS "partition of",
        pg_get_expr(c.relpartbound, c.oid) AS "partition bound",
        CASE WHEN NOT c.relispartition THEN parents.names END AS "inherits from",
        c.relrowsecurity AS "row security", c.relforcerowsecurity AS "row security forced",
        CASE c.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' WHEN 'i' THEN (
            SELECT 'index on ' || string_agg(pg_get_indexdef(i.indexrelid, k, false), ', ' ORDER BY k)
            FROM pg_index i, generate_series(1, i.indnkeyatts) k WHERE i.indrelid = c.oid AND i.indisreplident
        ) END AS "replica identity",
        nullif(c.reloftype, 0)::regtype::text AS "of type",
        nullif(m.amname, 'heap') AS "access method",
        (SELECT string_agg(option, ', ' ORDER BY option) FROM (
            SELECT unnest(c.reloptions) UNION ALL SELECT 'toast.' || unnest(toast.reloptions)
        ) o (option)) AS options,
        s.srvname AS server, array_to_string(f.ftoptions, ', ') AS "server options",
        obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
    LEFT JOIN pg_am m ON m.oid = c.relam
    LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
    LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
    LEFT JOIN (
        SELECT inhrelid, string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) AS names
        FROM pg_inherits GROUP BY inhrelid
    ) parents ON parents.inhrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'f') AND {ours}
""").format(ours=OUR_RELATION)

# A serial column's default names its sequence, whose name PostgreSQL made up: see SEQUENCES. A generated
# column's expression is stored as a default too. Since PostgreSQL 18 a column is marked not null before that
# has been proven.
COLUMNS = SQL("""
    SELECT 'column' AS kind, n.nspname AS schema, c.relname AS table, a.attname AS name,
        format_type(a.atttypid, a.atttypmod) AS type,
        a.attnotnull AS "not null",
        a.attnotnull AND EXISTS (
            SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
                AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated) AS "not null not proven",
        CASE WHEN a.attgenerated = '' THEN coalesce(own.expression, pg_get_expr(e.adbin, e.adrelid))
            END AS default,
        CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,
        CASE WHEN a.attgenerated <> '' THEN pg_get_expr(e.adbin, e.adrelid)
            || CASE a.attgenerated WHEN 's' THEN ' stored' ELSE ' virtual' END END AS generated,
        CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END AS collation,
        CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'plain'
            WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END END AS storage,
        CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
        array_to_string(a.attfdwoptions, ', ') AS "server options",
        col_description(c.oid, a.attnum) AS comment
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
    LEFT JOIN LATERAL (
        SELECT replace(pg_get_expr(e.adbin, e.adrelid),
            'nextval(' || quote_literal(s.oid::regclass::text) || '::regclass)', 'nextval(own sequence)'
        ) AS expression
        FROM pg_depend used
        JOIN pg_depend owned ON owned.classid = 'pg_class'::regclass AND owned.objid = used.refobjid
            AND owned.refclassid = 'pg_class'::regclass AND owned.refobjid = a.attrelid
            AND owned.refobjsubid = a.attnum AND owned.deptype = 'a'
        JOIN pg_class s ON s.oid = used.refobjid AND s.relkind = 'S'
        WHERE used.classid = 'pg_attrdef'::regclass AND used.objid = e.oid
            AND used.refclassid = 'pg_class'::regclass
        LIMIT 1
    ) own ON true
    WHERE c.relkind IN ('r', 'p', 'f') AND {ours}
""").format(ours=OUR_RELATION)

# Not null (n) is an attribute of the column, constraint triggers (t) are triggers. A foreign key to or from a
# partitioned table has one more entry for each partition; pg_dump passes over them too (getConstraints in
# pg_dump.c).
CONSTRAINTS = SQL("""
    SELECT 'constraint' AS kind, n.nspname AS schema, c.relname AS table, k.conname AS name,
        pg_get_constraintdef(k.oid) AS definition, k.conparentid <> 0 AS implied,
        obj_description(k.oid, 'pg_constraint') AS comment
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype IN ('c', 'p', 'u', 'f', 'x') AND NOT (k.contype = 'f' AND k.conparentid <> 0) AND {ours}
""").format(ours=OUR_RELATION)

DOMAIN_CONSTRAINTS = SQL("""
    SELECT 'domain constraint' AS kind, n.nspname AS schema, t.typname AS table, k.conname AS name,
        pg_get_constraintdef(k.oid) AS definition
    FROM pg_constraint k
    JOIN pg_type t ON t.oid = k.contypid
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE k.contype = 'c' AND {ours}
""").format(ours=OUR_TYPE)

# Without those behind a constraint. Of the definition, only what comes after the index's and the table's
# name.
INDEXES = SQL("""
    SELECT 'index' AS kind, n.nspname AS schema, c.relname AS table, x.relname AS name,
        CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || substr(pg_get_indexdef(x.oid), length(format(
            'CREATE %sINDEX %I ON %s%I.%I USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname,
            CASE x.relkind WHEN 'I' THEN 'ONLY ' END, n.nspname, c.relname)) + 1) AS definition,
        NOT i.indisvalid AS invalid, x.relispartition AS implied,
        obj_description(x.oid, 'pg_class') AS comment
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x')
    ) AND {ours}
""").format(ours=OUR_RELATION)

# A sequence that belongs to a column (serial: deptype a, identity: deptype i) is known by that column.
SEQUENCES = SQL("""
    SELECT 'sequence' AS kind, coalesce(o.schema, n.nspname) AS schema, coalesce(o.table, '') AS table,
        coalesce('(of ' || o.column || ')', c.relname) AS name,
        CASE c.relpersistence WHEN 'u' THEN true END AS unlogged,
        format_type(s.seqtypid, NULL) AS type, s.seqstart AS start, s.seqincrement AS increment,
        s.seqmin AS minimum, s.seqmax AS maximum, s.seqcycle AS cycle, nullif(s.seqcache, 1) AS cache,
        obj_description(c.oid, 'pg_class') AS comment
    FROM pg_sequence s
    JOIN pg_class c ON c.oid = s.seqrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (
        SELECT ns.nspname AS schema, t.relname AS table, a.attname AS column
        FROM pg_depend d
        JOIN pg_class t ON t.oid = d.refobjid
        JOIN pg_namespace ns ON ns.oid = t.relnamespace
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i')
    ) o ON true
    WHERE {ours}
""").format(ours=OUR_RELATION)

VIEWS = SQL("""
    SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END AS kind,
        n.nspname AS schema, '' AS table, c.relname AS name,
        pg_get_viewdef(c.oid) AS definition, NOT c.relispopulated AS "not populated",
        (SELECT string_agg(option, ', ' ORDER BY option) FROM unnest(c.reloptions) option) AS options,
        obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND {ours}
""").format(ours=OUR_RELATION)

# Those that enforce foreign keys are internal.
TRIGGERS = SQL("""
    SELECT 'trigger' AS kind, n.nspname AS schema, c.relname AS table, g.tgname AS name,
        pg_get_triggerdef(g.oid) AS definition,
        CASE g.tgenabled WHEN 'D' THEN 'never' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always'
            END AS fires,
        obj_description(g.oid, 'pg_trigger') AS comment
    FROM pg_trigger g
    JOIN pg_class c ON c.oid = g.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT g.tgisinternal AND {ours}
""").format(ours=OUR_RELATION)

# A view is a rule called _RETURN.
RULES = SQL("""
    SELECT 'rule' AS kind, n.nspname AS schema, c.relname AS table, r.rulename AS name,
        pg_get_ruledef(r.oid) AS definition,
        CASE r.ev_enabled WHEN 'D' THEN 'never' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always'
            END AS fires
    FROM pg_rewrite r
    JOIN pg_class c ON c.oid = r.ev_class
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.rulename <> '_RETURN' AND {ours}
""").format(ours=OUR_RELATION)

POLICIES = SQL("""
    SELECT 'policy' AS kind, n.nspname AS schema, c.relname AS table, p.polname AS name,
        CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
            WHEN 'd' THEN 'delete' ELSE 'all' END AS command,
        NOT p.polpermissive AS restrictive,
        (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END, ', '
            ORDER BY r::regrole::text) FROM unnest(p.polroles) r) AS roles,
        pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS "with check"
    FROM pg_policy p
    JOIN pg_class c ON c.oid = p.polrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {ours}
""").format(ours=OUR_RELATION)

# Not pg_get_statisticsobjdef: it leaves out parentheses, which the fixed form of expressions needs.
STATISTICS = SQL("""
    SELECT 'statistics' AS kind, n.nspname AS schema, '' AS table, s.stxname AS name,
        s.stxrelid::regclass::text AS table, array_to_string(s.stxkind, ', ') AS kinds,
        (SELECT string_agg(a.attname, ', ' ORDER BY a.attname) FROM pg_attribute a
            WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys)) AS columns,
        array_to_string(pg_get_statisticsobjdef_expressions(s.oid), ', ') AS expressions,
        nullif(s.stxstattarget, -1) AS target
    FROM pg_statistic_ext s
    JOIN pg_namespace n ON n.oid = s.stxnamespace
    WHERE {ours}
""").format(ours=ours("pg_statistic_ext", "s.oid"))

QUESTIONS = (
    SCHEMAS,
    TABLES,
    COLUMNS,
    CONSTRAINTS,
    DOMAIN_CONSTRAINTS,
    INDEXES,
    SEQUENCES,
    VIEWS,
    TRIGGERS,
    RULES,
    POLICIES,
    STATISTICS,
)

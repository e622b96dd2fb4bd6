"""Functions, types, extensions, and what else stands on its own."""

from psycopg.sql import SQL

from flagsnap.postgres.introspect.scope import OUR_TYPE, made_alone, ours

# An overloaded function is known by its argument types; their names and defaults are an attribute. A digest
# stands for a body that is a string; one in standard SQL (BEGIN ATOMIC) is printed from its parsed form, as
# views are.
FUNCTIONS = SQL("""
    SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind,
        n.nspname AS schema, '' AS table, p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS name,
        nullif(pg_get_function_arguments(p.oid), '') AS arguments,
        pg_get_function_result(p.oid) AS result, l.lanname AS language, p.prokind = 'w' AS window,
        CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
        CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' END AS parallel,
        p.proisstrict AS strict, p.prosecdef AS "security definer", p.proleakproof AS leakproof,
        p.procost::text AS cost, nullif(p.prorows, 0)::text AS rows,
        nullif(p.prosupport::text, '-') AS support,
        array_to_string(p.proconfig, ', ') AS settings,
        (SELECT string_agg(format_type(t, NULL), ', ') FROM unnest(p.protrftypes) t) AS transforms,
        coalesce(pg_get_function_sqlbody(p.oid), 'sha256:' || encode(
            sha256(convert_to(concat_ws(' ', p.probin, p.prosrc), 'UTF8')), 'hex')) AS body,
        obj_description(p.oid, 'pg_proc') AS comment
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    WHERE p.prokind <> 'a' AND {ours}
""").format(ours=ours("pg_proc", "p.oid"))

AGGREGATES = SQL("""
    SELECT 'aggregate' AS kind,
        n.nspname AS schema, '' AS table, p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS name,
        pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
        CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' END AS parallel,
        a.aggtransfn::text AS "transition function", format_type(a.aggtranstype, NULL) AS "transition type",
        a.agginitval AS "initial value", nullif(a.aggfinalfn::text, '-') AS "final function",
        nullif(a.aggcombinefn::text, '-') AS "combine function",
        nullif(a.aggserialfn::text, '-') AS "serial function",
        nullif(a.aggdeserialfn::text, '-') AS "deserial function",
        nullif(a.aggmtransfn::text, '-') AS "moving transition function",
        nullif(a.aggminvtransfn::text, '-') AS "moving inverse function",
        nullif(a.aggmfinalfn::text, '-') AS "moving final function", a.aggminitval AS "moving initial value",
        nullif(a.aggsortop, 0)::regoperator::text AS "sort operator",
        CASE a.aggkind WHEN 'o' THEN 'ordered set' WHEN 'h' THEN 'hypothetical set' END AS kind,
        obj_description(p.oid, 'pg_proc') AS comment
    FROM pg_aggregate a
    JOIN pg_proc p ON p.oid = a.aggfnoid
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {ours}
""").format(ours=ours("pg_proc", "p.oid"))

ENUM_TYPES = SQL("""
    SELECT 'enum type' AS kind, n.nspname AS schema, '' AS table, t.typname AS name,
        (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
            FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels,
        obj_description(t.oid, 'pg_type') AS comment
    FROM pg_type t
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND {ours}
""").format(ours=OUR_TYPE)

DOMAINS = SQL("""
    SELECT 'domain' AS kind, n.nspname AS schema, '' AS table, t.typname AS name,
        format_type(t.typbasetype, t.typtypmod) AS type, t.typnotnull AS "not null",
        coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault) AS default,
        CASE WHEN t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END AS collation,
        obj_description(t.oid, 'pg_type') AS comment
    FROM pg_type t
    JOIN pg_type b ON b.oid = t.typbasetype
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'd' AND {ours}
""").format(ours=OUR_TYPE)

# Every table has a composite type of its own; here are those made by CREATE TYPE. Their order of attributes
# matters.
COMPOSITE_TYPES = SQL("""
    SELECT 'composite type' AS kind, n.nspname AS schema, '' AS table, t.typname AS name,
        (SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attcollation <> y.typcollation
                THEN 'COLLATE ' || a.attcollation::regcollation::text END),
            ', ' ORDER BY a.attnum)
            FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes,
        obj_description(t.oid, 'pg_type') AS comment
    FROM pg_type t
    JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE {ours}
""").format(ours=OUR_TYPE)

RANGE_TYPES = SQL("""
    SELECT 'range type' AS kind, n.nspname AS schema, '' AS table, t.typname AS name,
        format_type(r.rngsubtype, NULL) AS subtype, nullif(r.rngcanonical::text, '-') AS "canonical function",
        nullif(r.rngsubdiff::text, '-') AS "difference function",
        CASE WHEN NOT o.opcdefault THEN format('%I.%I', os.nspname, o.opcname) END AS "operator class",
        CASE WHEN r.rngcollation <> s.typcollation THEN r.rngcollation::regcollation::text END AS collation,
        r.rngmultitypid::regtype::text AS multirange
    FROM pg_range r
    JOIN pg_type t ON t.oid = r.rngtypid
    JOIN pg_type s ON s.oid = r.rngsubtype
    JOIN pg_opclass o ON o.oid = r.rngsubopc
    JOIN pg_namespace os ON os.oid = o.opcnamespace
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE {ours}
""").format(ours=OUR_TYPE)

EXTENSIONS = SQL("""
    SELECT 'extension' AS kind, '' AS schema, '' AS table, e.extname AS name,
        e.extversion AS version, e.extnamespace::regnamespace::text AS schema
    FROM pg_extension e
""")

EVENT_TRIGGERS = SQL("""
    SELECT 'event trigger' AS kind, '' AS schema, '' AS table, t.evtname AS name,
        t.evtevent AS event, t.evtfoid::regprocedure::text AS function,
        array_to_string(t.evttags, ', ') AS tags,
        CASE t.evtenabled WHEN 'D' THEN 'never' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always'
            END AS fires
    FROM pg_event_trigger t
    WHERE {alone}
""").format(alone=made_alone("pg_event_trigger", "t.oid"))

# The locale's column was renamed in PostgreSQL 17, and the rules came with 16: as JSON, a missing column is
# NULL.
COLLATIONS = SQL("""
    SELECT 'collation' AS kind, n.nspname AS schema, '' AS table, c.collname AS name,
        CASE c.collprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin'
            END AS provider,
        coalesce(j ->> 'colllocale', j ->> 'colliculocale', j ->> 'collcollate') AS locale,
        nullif(j ->> 'collctype', j ->> 'collcollate') AS "character type",
        j ->> 'collicurules' AS rules, NOT c.collisdeterministic AS "not deterministic"
    FROM pg_collation c
    JOIN pg_namespace n ON n.oid = c.collnamespace
    CROSS JOIN LATERAL to_jsonb(c) j
    WHERE {ours}
""").format(ours=ours("pg_collation", "c.oid"))

# Options of servers only: those of user mappings are passwords.
FOREIGN_SERVERS = SQL("""
    SELECT 'foreign server' AS kind, '' AS schema, '' AS table, s.srvname AS name, w.fdwname AS wrapper,
        s.srvtype AS type, s.srvversion AS version, array_to_string(s.srvoptions, ', ') AS options
    FROM pg_foreign_server s
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    WHERE {alone}
""").format(alone=made_alone("pg_foreign_server", "s.oid"))

QUESTIONS = (
    FUNCTIONS,
    AGGREGATES,
    ENUM_TYPES,
    DOMAINS,
    COMPOSITE_TYPES,
    RANGE_TYPES,
    EXTENSIONS,
    EVENT_TRIGGERS,
    COLLATIONS,
    FOREIGN_SERVERS,
)

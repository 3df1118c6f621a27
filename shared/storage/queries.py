"""What the reader asks the file. Each statement is bounded: by a limit, by a range of row ids, or by one chain."""

from typing import Final

from shared.storage.ids import WITHIN

ALONE: Final = 16  # entries of a chain that may share an instant and still be gone through for each of them

_THESE: Final = """
    WITH these AS MATERIALIZED (SELECT id, chain, at FROM entry WHERE {these}),
    crowd AS MATERIALIZED (
        SELECT once.entry, once.suffix
        FROM (SELECT DISTINCT chain, at FROM these) AS instant
            CROSS JOIN entry_once AS once ON once.chain = instant.chain AND once.at = instant.at
        WHERE once.entry BETWEEN (SELECT min(id) FROM these) AND (SELECT max(id) FROM these)
            AND once.entry IN (SELECT id FROM these))"""  # made when one of them is in a crowd
_SUFFIX: Final = f"""
    ifnull((
        SELECT suffix FROM (
            SELECT once.entry AS id, suffix FROM entry_once AS once
            WHERE once.chain = entry.chain AND once.at = entry.at LIMIT {ALONE}
        ) AS some WHERE some.id = entry.id
    ), (SELECT suffix FROM crowd WHERE crowd.entry = entry.id))"""
_ENTRIES_OF: Final = """
    SELECT entry.id, site.source_id, chain.correlation_id, chain.base + entry.at, {suffix}, site.direction,
        site.operation, site.endpoint, entry.data, site.hostname, raw_line.line
    FROM {entries} CROSS JOIN site ON site.id = entry.site CROSS JOIN chain ON chain.id = entry.chain
        LEFT JOIN raw_line ON raw_line.entry = entry.id"""


def _entries(these: str) -> str:
    return f"{_THESE.format(these=these)} {_ENTRIES_OF.format(suffix=_SUFFIX, entries='entry')} WHERE {these}"


NEXT: Final = _entries("entry.id > ?1 ORDER BY entry.id LIMIT ?2")
BETWEEN: Final = _entries("entry.id > ?1 AND entry.id <= ?2 ORDER BY entry.id LIMIT ?3")
THESE: Final = _entries("entry.id IN (SELECT value FROM json_each(?1)) ORDER BY entry.id")
PREFIXED: Final = f"""
    {_entries("entry.id > ?1 AND entry.id <= ?2")} AND substr(site.source_id, 1, ?3) = ?4
    ORDER BY entry.id {{}} LIMIT ?5"""
PREFIXED_IDS: Final = """
    SELECT entry.id FROM entry CROSS JOIN site ON site.id = entry.site
    WHERE entry.id > ? AND entry.id <= ? AND substr(site.source_id, 1, ?) = ? ORDER BY entry.id {} LIMIT ?"""
NEWEST: Final = "SELECT coalesce((SELECT max(id) FROM entry), (SELECT entry FROM last_expired), 0)"
OLDEST: Final = f"SELECT coalesce((SELECT min(id) FROM entry), ({NEWEST}) + 1)"
_OF_KEY: Final = "SELECT chain FROM chain_key WHERE era IN (SELECT id FROM era) AND key = :key"
NAMED: Final = f"""
    chain.id = ifnull(
        (SELECT id FROM chain WHERE id IN ({_OF_KEY}) AND correlation_id = :correlation_id),
        (SELECT id FROM chain WHERE id > (SELECT keyed FROM era ORDER BY id DESC LIMIT 1)
            AND correlation_id = :correlation_id))"""
NUMBERED: Final = "chain.id = :chain"
SUMMARY: Final = f"SELECT id, base, entries, expired, balance = 0, newest FROM chain WHERE {NAMED}"
_OF_SOURCE: Final = """
    (SELECT source_id FROM entry CROSS JOIN site ON site.id = entry.site WHERE entry.id = once.entry) = :source"""


def of(source: str | None) -> str:
    """What holds for `once.entry` where it is of the source that is asked for; any, if none is."""
    return "1" if source is None else _OF_SOURCE


_LONG: Final = "iif(length({}) > 65536, zeroblob(2147483647), {})"  # a long value is an error at once, not at the end
IN_TIME: Final = f"""
    SELECT chain, base, entries, expired, balance = 0, newest, count(id), group_concat(id), group_concat(base + at),
        group_concat(site), group_concat(json_quote(suffix), char(10)),
        group_concat({_LONG.format("data", "iif(data = '', 'null', data)")}, char(10)),
        group_concat(ifnull(
            (SELECT json_quote({_LONG.format("line", "line")}) FROM raw_line WHERE raw_line.entry = id), 'null'
        ), char(10))
    FROM (
        SELECT found.*, entry.id, site, data FROM (
            SELECT chain.id AS chain, base, entries, expired, balance, newest, entry, once.at, suffix
            FROM chain LEFT JOIN entry_once AS once ON once.chain = chain.id AND once.at >= :instant - base
                AND (once.at > :instant - base OR entry > :id) AND entry <= :newest AND {{source}}
            WHERE {{chain}}
            ORDER BY once.at, entry LIMIT :limit
        ) AS found LEFT JOIN entry ON entry.id = found.entry)"""  # in the order of `found`: sorted, all would be held
_BEHIND: Final = """
    FROM chain CROSS JOIN entry_once AS once ON once.chain = chain.id AND {source}
    WHERE chain.id = :chain AND at >= :instant - base AND (at > :instant - base OR entry > :id) AND entry <= :newest
    ORDER BY at, entry LIMIT"""
POSITION: Final = f"SELECT base + at, entry {_BEHIND} 1 OFFSET :limit - 1"
ONE_BY_ONE: Final = _ENTRIES_OF.format(
    suffix="found.suffix",
    entries=f"(SELECT entry, suffix {_BEHIND} :limit) AS found CROSS JOIN entry ON entry.id = found.entry",
)
SITES: Final = """
    SELECT id, source_id, direction, operation, endpoint, hostname FROM site
    WHERE id IN (SELECT value FROM json_each(?))"""
COUNT: Final = """
    SELECT count(*) FROM entry_once WHERE chain = :chain AND at > :at AND entry <= :newest"""
COUNT_OF_SOURCE: Final = """
    SELECT count(*) FROM entry_once AS once CROSS JOIN entry ON entry.id = once.entry
        CROSS JOIN site ON site.id = entry.site
    WHERE once.chain = :chain AND once.at > :at AND once.entry <= :newest AND site.source_id = :source"""
IDS_IN_ORDER: Final = f"""
    SELECT entry FROM entry_once
    WHERE chain = (SELECT id FROM chain WHERE {NAMED}) AND entry > :after AND entry <= :upto
    ORDER BY entry LIMIT :limit"""
MAY_HAVE_LOST: Final = f"""
    SELECT ifnull((SELECT expired > 0 FROM chain WHERE {NAMED}), 1)
        OR EXISTS (SELECT 1 FROM ({_OF_KEY}) WHERE chain NOT IN (SELECT id FROM chain))
        OR :after + 1 < (SELECT max(first_entry) FROM era WHERE first_entry <= :oldest)"""
SUMMARIES: Final = f"""
    SELECT correlation_id, entries, base + first_at, base + last_at, sources, expired, balance, errors, newest,
        (SELECT at FROM arrival WHERE first_entry <= newest ORDER BY first_entry DESC LIMIT 1)
    FROM (
        SELECT id AS looked_at, CASE
            WHEN (:q = '' OR {WITHIN.format("correlation_id", ":q", ":digits")})
                AND (:source = '' OR instr(',' || substr(sources, 2), :source))
                AND (:complete IS NULL OR (expired = 0 AND (balance = 0) = :complete))
                AND (:errors IS NULL OR (errors > 0) = :errors) THEN 1 END AS is_wanted
        FROM chain WHERE newest < :before AND newest >= :floor ORDER BY newest DESC LIMIT :scan
    ) CROSS JOIN chain ON chain.id = looked_at
    WHERE is_wanted LIMIT :limit"""
SCANNED: Final = """
    SELECT newest FROM chain WHERE newest < :before AND newest >= :floor
    ORDER BY newest DESC LIMIT 1 OFFSET :scan - 1"""
_LATE: Final = "(SELECT at FROM arrival WHERE first_entry <= middle ORDER BY first_entry DESC LIMIT 1) >= :at"
SINCE: Final = f"""
    WITH RECURSIVE search(low, high, middle) AS (
        SELECT min(first_entry), newest + 1, (min(first_entry) + newest + 1) / 2
        FROM arrival, (SELECT ({NEWEST}) AS newest)
        UNION ALL
        SELECT iif({_LATE}, low, middle + 1), iif({_LATE}, middle, high),
            (iif({_LATE}, low, middle + 1) + iif({_LATE}, middle, high)) / 2
        FROM search WHERE low < high)
    SELECT low FROM search WHERE low >= high"""
ACTIVE: Final = "SELECT id, entries, newest FROM chain WHERE newest < ? AND newest >= ? ORDER BY newest DESC LIMIT ?"
CHECKPOINTS: Final = """
    SELECT chain.id, chain.base + once.at, entry.id, site.source_id, site.direction, site.operation,
        site.endpoint, site.failed
    FROM {} CROSS JOIN entry_once AS once ON once.chain = chain.id CROSS JOIN entry ON entry.id = once.entry
        CROSS JOIN site ON site.id = entry.site"""
CHECKPOINTS_OF_CHAINS: Final = f"""
    {CHECKPOINTS.format("json_each(?) AS these CROSS JOIN chain ON chain.id = these.value")}
    ORDER BY chain.id, once.at, entry.id"""
CHECKPOINTS_OF_CHAIN: Final = f"""
    {CHECKPOINTS.format("chain")}
    WHERE chain.id = :chain AND once.at >= :instant - chain.base
        AND (once.at > :instant - chain.base OR once.entry > :id)
    ORDER BY once.at, once.entry LIMIT :limit"""
_ARRIVED: Final = """
    SELECT min(first_entry) - 1 FROM (SELECT * FROM arrival ORDER BY first_entry DESC LIMIT 500) WHERE at >= ?"""
EXTENT: Final = f"SELECT ({OLDEST}), ({NEWEST}), coalesce(({_ARRIVED}), ({NEWEST}))"
ARRIVED_AT: Final = """
    SELECT ifnull((SELECT at FROM arrival WHERE first_entry <= ? ORDER BY first_entry DESC LIMIT 1),
        (SELECT at FROM arrival ORDER BY first_entry LIMIT 1))"""
BY_SOURCE: Final = """
    SELECT site.source_id, count(*) AS entries FROM entry CROSS JOIN site ON site.id = entry.site
    WHERE entry.id > ? GROUP BY site.source_id ORDER BY entries DESC, site.source_id"""

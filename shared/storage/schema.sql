-- The file's layout, version 1. Row ids of `entry` are dense and given in commit order; retention only ever removes the
-- oldest, so newest - oldest + 1 is the number of entries and a reader's cursor needs nothing but a row id.
--
-- An instant (a time of an entry) is the bit pattern of the sender's double as an integer: exact, and in the same order
-- for times that are not negative. `entry.at`, `chain.first_at` and `chain.last_at` are relative to `chain.base`.

-- A stretch of arrivals with sites of its own. Sites of a stretch go when its last entry has gone, and new chains land
-- in one small part of the index however large the file is.
CREATE TABLE era (
    id          INTEGER PRIMARY KEY,
    first_entry INTEGER NOT NULL,
    first_site  INTEGER NOT NULL,
    started     INTEGER NOT NULL,       -- Unix milliseconds
    keyed       INTEGER NOT NULL,       -- of the newest era: chains up to this id have been put into `chain_key`
    sieve       BLOB                    -- a Bloom filter over the keys in it, once it has ended: shared/storage/sieve.py
);

-- Where checkpoints are: what repeats from entry to entry, and whether they report an error (the rule is in
-- shared/failure.py). The same site may stand here more than once.
CREATE TABLE site (
    id        INTEGER PRIMARY KEY,
    source_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    operation TEXT NOT NULL,
    endpoint  TEXT NOT NULL,
    hostname  TEXT NOT NULL,
    failed    INTEGER NOT NULL          -- 1: the `data` of its entries reports an error
);

-- One row per chain, kept in the transaction that writes its entries; it describes the entries that are left.
CREATE TABLE chain (
    id             INTEGER PRIMARY KEY,
    correlation_id TEXT NOT NULL,       -- 32 hexadecimal digits as a BLOB of 16 bytes: shared/storage/ids.py
    base           INTEGER NOT NULL,    -- the instant of the entry that came first
    first_at       INTEGER NOT NULL,
    last_at        INTEGER NOT NULL,
    newest         INTEGER NOT NULL,    -- row id of the entry that came last
    entries        INTEGER NOT NULL,
    expired        INTEGER NOT NULL,
    errors         INTEGER NOT NULL,    -- entries that report an error
    balance        INTEGER NOT NULL,    -- a sum, modulo 2^62, of `weight` in shared/storage/chains.py: 0 when each entry has its exit
    sources        TEXT NOT NULL        -- JSON object: source_id to number of entries, of a thousand sources; blanks at its end
);
CREATE INDEX chain_by_newest ON chain(newest);      -- /correlations

-- From a correlation id to its chain. The newest chains, behind `era.keyed`, are put there together, a thousand and more
-- at a time, and are to be looked through until then. Keys of chains that have gone stay until their era goes.
CREATE TABLE chain_key (
    era   INTEGER NOT NULL,
    key   INTEGER NOT NULL,             -- 48 bits of blake2b(correlation_id)
    chain INTEGER NOT NULL,
    PRIMARY KEY (era, key, chain)
) WITHOUT ROWID;

CREATE TABLE entry (
    id    INTEGER PRIMARY KEY,                      -- /stream, /recent, retention
    chain INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    site  INTEGER NOT NULL,
    data  TEXT NOT NULL                             -- JSON text, '' for null
);

-- What makes an entry one: duplicates; /traces/{id} in order of time. The suffix stands only here. Several entries of a
-- chain may share an instant, so whoever has a number of them looks for them together.
CREATE TABLE entry_once (
    chain  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    suffix TEXT NOT NULL,
    entry  INTEGER NOT NULL,
    PRIMARY KEY (chain, at, suffix)
) WITHOUT ROWID;

-- The newest row id that was given, where its entry has gone: no id is given twice.
CREATE TABLE last_expired (
    entry INTEGER NOT NULL
);

CREATE TABLE raw_line (
    entry INTEGER PRIMARY KEY,
    line  TEXT NOT NULL
);

-- When entries arrived: those from `first_entry` up to the next row's arrived at `at` or a little later.
CREATE TABLE arrival (
    first_entry INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL        -- Unix milliseconds, the server's clock
);

-- What senders had to drop, as they report it: the largest total of each.
CREATE TABLE sender (
    id       TEXT PRIMARY KEY,
    dropped  INTEGER NOT NULL,
    reported INTEGER NOT NULL           -- Unix milliseconds
) WITHOUT ROWID;

-- For people with a shell: every entry with the names of the wire format. `instant` is split into the double's exponent
-- and fraction, exact for times from a thousandth of a millisecond to 10^34.
CREATE VIEW traces AS
SELECT id, source_id, correlation_id,
       CASE WHEN exponent > 1075 THEN fraction * 1.0 * (1 << min(exponent - 1075, 62))
            WHEN exponent > 1012 THEN fraction * 1.0 / (1 << (1075 - exponent))
            ELSE 0.0 END AS timestamp,
       suffix, direction, operation, endpoint, data, hostname, raw_line, created_at
FROM (
    SELECT entry.id, site.source_id,
           CASE typeof(correlation_id) WHEN 'blob' THEN lower(hex(correlation_id)) ELSE correlation_id END
               AS correlation_id,
           (chain.base + entry.at) >> 52 AS exponent,
           ((chain.base + entry.at) & 0xFFFFFFFFFFFFF) | 0x10000000000000 AS fraction,
           once.suffix, site.direction, site.operation, site.endpoint, nullif(entry.data, '') AS data, site.hostname,
           (SELECT line FROM raw_line WHERE raw_line.entry = entry.id) AS raw_line,
           (SELECT at / 1000.0 FROM arrival WHERE first_entry <= entry.id ORDER BY first_entry DESC LIMIT 1)
               AS created_at
    FROM entry JOIN chain ON chain.id = entry.chain JOIN site ON site.id = entry.site
         JOIN entry_once AS once ON once.chain = entry.chain AND once.at = entry.at AND once.entry = entry.id
);

-- A ledger as the first code of version 1 left it, without the index on doubts, written down in words.
PRAGMA application_id = 1112887396;
PRAGMA user_version = 1;
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY,
    connection_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    path TEXT NOT NULL,
    status TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sidecar TEXT,
    sidecar_size INTEGER NOT NULL,
    sidecar_mtime_ns INTEGER NOT NULL,
    sha256 BLOB,
    metadata BLOB,
    upload_key TEXT,
    policy BLOB,
    duration REAL,
    container TEXT,
    attempts INTEGER NOT NULL,
    talk_id TEXT,
    duplicate_of TEXT,
    failure_code TEXT,
    failure_message TEXT,
    failure_request_id TEXT,
    claimed_at_ns INTEGER,
    settled_at_ns INTEGER,
    CHECK (status <> 'uploaded' OR (talk_id IS NOT NULL AND sha256 IS NOT NULL))
, UNIQUE (path, connection_id));
CREATE TABLE superseded (
    id INTEGER PRIMARY KEY,
    connection_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    path TEXT NOT NULL,
    status TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sidecar TEXT,
    sidecar_size INTEGER NOT NULL,
    sidecar_mtime_ns INTEGER NOT NULL,
    sha256 BLOB,
    metadata BLOB,
    upload_key TEXT,
    policy BLOB,
    duration REAL,
    container TEXT,
    attempts INTEGER NOT NULL,
    talk_id TEXT,
    duplicate_of TEXT,
    failure_code TEXT,
    failure_message TEXT,
    failure_request_id TEXT,
    claimed_at_ns INTEGER,
    settled_at_ns INTEGER,
    CHECK (status <> 'uploaded' OR (talk_id IS NOT NULL AND sha256 IS NOT NULL))
);
CREATE INDEX recordings_folder ON recordings (connection_id, folder);
CREATE INDEX recordings_content ON recordings (sha256, metadata) WHERE sha256 IS NOT NULL;
CREATE INDEX recordings_claimed ON recordings (connection_id) WHERE status = 'claimed';
CREATE INDEX superseded_path ON superseded (path, connection_id);
CREATE INDEX superseded_content ON superseded (sha256, metadata);
INSERT INTO recordings VALUES (1, 'connection-1', '', 'a.wav', 'uploaded', 1000, 1, 'a.json', 20, 1,
    x'aa', x'01', 'key-a', NULL, 12.34, 'wav', 1, 'talk-1', NULL, NULL, NULL, NULL, 5, 6);
INSERT INTO recordings VALUES (2, 'connection-1', 'd', 'd/b.wav', 'in_doubt', 1000, 1, 'b.json', 20,
    1, x'bb', x'02', 'key-b', NULL, 12.34, 'wav', 2, NULL, NULL, 'INTERNAL', 'look for it', 'r-2',
    7, 8);
INSERT INTO recordings VALUES (3, 'connection-1', 'd', 'd/c.wav', 'claimed', 1000, 1, 'c.json', 20,
    1, x'cc', x'03', 'key-c', NULL, 12.34, 'wav', 0, NULL, NULL, NULL, NULL, NULL, 9, NULL);
INSERT INTO superseded VALUES (1, 'connection-1', '', 'a.wav', 'uploaded', 900, 0, 'a.json', 20, 0,
    x'00', x'01', 'key-0', NULL, 10.0, 'wav', 1, 'talk-0', NULL, NULL, NULL, NULL, 1, 2);

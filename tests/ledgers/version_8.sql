-- A ledger as the code of version 8 of its schema left it, brought up from version 7: with every state
-- of that one, and with what describes one recording and what was sent of it, which were kept since.
PRAGMA application_id = 1112887396;
PRAGMA user_version = 8;
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "facts" VALUES('colour','red');
INSERT INTO "facts" VALUES('ledger_home','file:///srv/calls/.batch-uploader/ledger.db');
INSERT INTO "facts" VALUES('ledger_id','f9ccc0bdc1f660f0ef6849f66b60b8fd');
INSERT INTO "facts" VALUES('owner','28750ab369ef0fbf168099339fafd001');
INSERT INTO "facts" VALUES('sequence',4000);
CREATE TABLE mark (id INTEGER PRIMARY KEY, run TEXT NOT NULL);
INSERT INTO "mark" VALUES(1,'00000000000005cadb66ae7d74c113a-1dbe9ad8');
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
    settled_at_ns INTEGER, stamp_field TEXT, doubt_wall_ns INTEGER, doubt_boot TEXT, doubt_boot_ns INTEGER, missed_wall_ns INTEGER, missed_boot TEXT, missed_boot_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sidecar_ctime_ns INTEGER, sidecar_inode INTEGER, claimed_seq INTEGER, answered_seq INTEGER, doubt_seq INTEGER, owner INTEGER, cause TEXT, essence BLOB, default_id BLOB, named_id BLOB, about BLOB, sent TEXT,
    CHECK (status <> 'uploaded' OR (talk_id IS NOT NULL AND sha256 IS NOT NULL))
, UNIQUE (path, connection_id));
INSERT INTO "recordings" VALUES(1,'connection-1','','up.wav','uploaded',1000,1735686000000000000,'the sidecar',20,1735686000000000000,X'75702E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','cae7eee3-83ba-5a72-82c6-745a62efe4a6',NULL,12.34,'wav',1,'talk-up',NULL,NULL,NULL,NULL,1735689601000000000,1735689602000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735686000000000001,1001,1735686000000000002,2001,1,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(2,'connection-1','d','d/ü.wav','uploaded',1000,1735682400000000000,'the sidecar',20,1735682400000000000,X'6F746865722E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','a9437b20-282f-5916-b61c-26c862b07b55',NULL,12.34,'wav',3,'talk-other',NULL,NULL,NULL,NULL,1735689604000000000,1735689605000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735682400000000001,1002,1735682400000000002,2002,3,4,NULL,NULL,NULL,NULL,NULL,NULL,X'0102030405060708','{"format": "wav", "sha256": "00", "size": 99, "recipe": "pcm16"}');
INSERT INTO "recordings" VALUES(3,'connection-1','','replaced.wav','uploaded',1000,1735675200000000000,'the sidecar',20,1735675200000000000,X'61667465722E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','6bb4d5ec-9a23-5bc6-ae2c-83af67fce596',NULL,12.34,'wav',1,'talk-after',NULL,NULL,NULL,NULL,1735689610000000000,1735689611000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735675200000000001,1004,1735675200000000002,2004,7,8,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(4,'connection-1','','rejected.wav','rejected',1000,1735671600000000000,'the sidecar',20,1735671600000000000,X'72656A65637465642E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','3b009859-5fe7-50bf-903b-0ae6891e7afd',NULL,12.34,'wav',2,NULL,NULL,'REJECTED','why rejected.wav is rejected','request-1',1735689613000000000,1735689614000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735671600000000001,1005,1735671600000000002,2005,9,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(5,'connection-1','','failed.wav','failed',1000,1735668000000000000,'the sidecar',20,1735668000000000000,X'6661696C65642E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','cb389f1d-5189-5edd-bd13-b33f02c7d1d5',NULL,12.34,'wav',2,NULL,NULL,'FAILED','why failed.wav is failed','request-1',1735689616000000000,1735689617000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735668000000000001,1006,1735668000000000002,2006,10,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(6,'connection-1','','in_doubt.wav','in_doubt',1000,1735664400000000000,'the sidecar',20,1735664400000000000,X'696E5F646F7562742E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','1b73ffb4-5733-50e5-9425-7d3399c45c22',NULL,12.34,'wav',2,NULL,NULL,'IN_DOUBT','why in_doubt.wav is in_doubt','request-1',1735689619000000000,1735689620000000000,'upload_key',1735689620000000000,'a start of a machine',21000000000,1735689620000000000,'a start of a machine',21000000000,1735664400000000001,1007,1735664400000000002,2007,11,NULL,12,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(7,'connection-1','','conflict.wav','conflict',1000,1735660800000000000,'the sidecar',20,1735660800000000000,X'636F6E666C6963742E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','59e6f3d2-5ed5-5522-bf22-b0b4d85ecf4f',NULL,12.34,'wav',2,NULL,NULL,'CONFLICT','why conflict.wav is conflict','request-1',1735689622000000000,1735689623000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735660800000000001,1008,1735660800000000002,2008,13,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(8,'connection-1','','invalid.wav','invalid',1000,1735657200000000000,'the sidecar',20,1735657200000000000,NULL,NULL,NULL,X'72756C6573',NULL,NULL,0,NULL,NULL,'sidecar-missing','why invalid.wav is invalid','request-1',NULL,1735689625000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1735657200000000001,1009,1735657200000000002,2009,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(9,'connection-1','d','d/duplicate.wav','duplicate',1000,1735653600000000000,'the sidecar',20,1735653600000000000,X'75702E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','48e043e1-74b5-5f47-90d6-e832bb82152b',NULL,12.34,'wav',0,NULL,'up.wav',NULL,NULL,NULL,NULL,1735689628000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1735653600000000001,1010,1735653600000000002,2010,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(10,'connection-1','','given_up.wav','given_up',1000,1735650000000000000,'the sidecar',20,1735650000000000000,X'676976656E2075702E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','02c57184-0393-58c7-8dd9-51f25edc8c2a',NULL,12.34,'wav',1,NULL,NULL,'GIVEN_UP','why given_up.wav is given_up','request-1',1735689630000000000,1735689633000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735650000000000001,1011,1735650000000000002,2011,14,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "recordings" VALUES(12,'connection-2','','up.wav','uploaded',1000,1735686000000000000,'the sidecar',20,1735686000000000000,X'75702E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','c018f624-0992-5c2c-b55b-a20412d273ef',NULL,12.34,'wav',1,'talk-of-another',NULL,NULL,NULL,NULL,1735689636000000000,1735689637000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735686000000000001,1001,1735686000000000002,2001,1001,1002,NULL,NULL,NULL,X'7068656172642E2E2E2E2E2E2E2E2E2E2E',X'646174652C206F70657261746F722C20',X'746865206669656C6974732076616C75652E2E2E2E2E2E2E',NULL,NULL);
INSERT INTO "recordings" VALUES(13,'connection-1','d','d/claimed.wav','claimed',1000,1735646400000000000,'the sidecar',20,1735646400000000000,X'636C61696D65642E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','3bb5f5de-9df1-54da-9542-805c316069ee',NULL,12.34,'wav',0,NULL,NULL,NULL,NULL,NULL,1795981908142684330,NULL,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735646400000000001,1012,1735646400000000002,2012,2002,NULL,NULL,2001,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    owner INTEGER NOT NULL,
    connection_id TEXT NOT NULL,
    version TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    settings TEXT NOT NULL,
    began_at_ns INTEGER NOT NULL,
    ended_at_ns INTEGER,
    ending TEXT,
    reason TEXT,
    exit_code INTEGER,
    counts TEXT,
    uploaded_bytes INTEGER,
    uploaded_duration REAL
);
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
    settled_at_ns INTEGER, stamp_field TEXT, doubt_wall_ns INTEGER, doubt_boot TEXT, doubt_boot_ns INTEGER, missed_wall_ns INTEGER, missed_boot TEXT, missed_boot_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sidecar_ctime_ns INTEGER, sidecar_inode INTEGER, claimed_seq INTEGER, answered_seq INTEGER, doubt_seq INTEGER, owner INTEGER, cause TEXT, essence BLOB, default_id BLOB, named_id BLOB, about BLOB, sent TEXT,
    CHECK (status <> 'uploaded' OR (talk_id IS NOT NULL AND sha256 IS NOT NULL))
);
INSERT INTO "superseded" VALUES(1,'connection-1','','replaced.wav','uploaded',1000,1735678800000000000,'the sidecar',20,1735678800000000000,X'6265666F72652E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E2E',X'22D6F352D7B647A84135558498D7831A961FE5F9B15BB756AC7A38CF51646DF2','0ba16de1-4f49-5b1b-92c3-a8097f931f64',NULL,12.34,'wav',1,'talk-before',NULL,NULL,NULL,NULL,1735689607000000000,1735689608000000000,'upload_key',NULL,NULL,NULL,NULL,NULL,NULL,1735678800000000001,1003,1735678800000000002,2003,5,6,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE INDEX recordings_folder ON recordings (connection_id, folder);
CREATE INDEX recordings_claimed ON recordings (connection_id) WHERE status = 'claimed';
CREATE INDEX superseded_path ON superseded (path, connection_id);
CREATE UNIQUE INDEX recordings_doubted ON recordings (path, connection_id) WHERE status IN ('conflict', 'in_doubt');
CREATE INDEX recordings_witnesses ON recordings (connection_id, stamp_field, claimed_seq) WHERE answered_seq IS NOT NULL AND stamp_field IS NOT NULL;
CREATE INDEX recordings_talk ON recordings (substr(talk_id, -6)) WHERE talk_id IS NOT NULL;
CREATE INDEX superseded_talk ON superseded (substr(talk_id, -6)) WHERE talk_id IS NOT NULL;
CREATE INDEX recordings_essence ON recordings (substr(essence, 2, 5), (status IN ('claimed', 'conflict', 'duplicate', 'given_up', 'in_doubt', 'uploaded'))) WHERE essence IS NOT NULL;
CREATE INDEX recordings_default_id ON recordings (substr(default_id, 1, 5), (status IN ('claimed', 'conflict', 'duplicate', 'given_up', 'in_doubt', 'uploaded'))) WHERE default_id > x'';
CREATE INDEX recordings_named_id ON recordings (substr(named_id, 9, 5), (status IN ('claimed', 'conflict', 'duplicate', 'given_up', 'in_doubt', 'uploaded'))) WHERE named_id > x'';
CREATE INDEX superseded_essence ON superseded (substr(essence, 2, 5), (status IN ('claimed', 'conflict', 'duplicate', 'given_up', 'in_doubt', 'uploaded'))) WHERE essence IS NOT NULL;
CREATE INDEX superseded_default_id ON superseded (substr(default_id, 1, 5), (status IN ('claimed', 'conflict', 'duplicate', 'given_up', 'in_doubt', 'uploaded'))) WHERE default_id > x'';
CREATE INDEX superseded_named_id ON superseded (substr(named_id, 9, 5), (status IN ('claimed', 'conflict', 'duplicate', 'given_up', 'in_doubt', 'uploaded'))) WHERE named_id > x'';
CREATE INDEX recordings_content ON recordings (substr(sha256, 1, 5), (status IN ('claimed', 'conflict', 'given_up', 'in_doubt', 'uploaded')), (essence IS NULL), substr(metadata, 1, 3)) WHERE sha256 IS NOT NULL;
CREATE INDEX superseded_content ON superseded (substr(sha256, 1, 5), (status IN ('claimed', 'conflict', 'given_up', 'in_doubt', 'uploaded')), (essence IS NULL), substr(metadata, 1, 3)) WHERE sha256 IS NOT NULL;
CREATE UNIQUE INDEX recordings_possible ON recordings (path, connection_id) WHERE status IN ('possible_duplicate');
CREATE INDEX recordings_duplicates ON recordings (duplicate_of) WHERE duplicate_of IS NOT NULL;

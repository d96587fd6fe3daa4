//! The SQLite file with the entries.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::ExpansionStats;
use super::writer::Row;

/// Version of the tables and of what is in them (the dictionary, too). A file of another version is followed by a new one.
pub(super) const VERSION: i64 = 2;

/// `belj`, by which the file is known to be one of belljar's.
const APPLICATION: i64 = 0x6265_6c6a;

const ENDING: &str = "db";

/// How long it is waited for other processes, in all. What has waited longer is not remembered.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for one look, for which a compiler waits.
const LOOK_PATIENCE: Duration = Duration::from_millis(500);

/// Entries of one key. When there is one more, that goes which was not used for longest.
const VARIANTS: i64 = 16;

/// How old a time of use may be before it is renewed: a build that finds everything writes nothing.
const STALE: i64 = 24 * 60 * 60;

/// Of the bytes that are allowed, so many hundredths are left when old entries go: not again at the next one.
const LEFT: u64 = 90;

const TABLES: &str = "
    CREATE TABLE expansion (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        variant BLOB NOT NULL,
        used INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        UNIQUE (key, variant)
    );
    CREATE INDEX expansion_used ON expansion (used);
    CREATE TABLE file (path BLOB PRIMARY KEY, identity BLOB NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// One entry, as it is on disk.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) id: i64,
    pub(super) key: [u8; 32],
    pub(super) variant: [u8; 32],
    pub(super) stale: bool,
    used: i64,
    pub(super) sealed: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Database {
    path: Utf8PathBuf,
    connection: Connection,
}

impl Database {
    /// The newest file of the directory; makes one where there is none that can be used.
    pub(super) fn open(dir: &Utf8Path) -> rusqlite::Result<Self> {
        let newest = newest(dir).unwrap_or(1);
        match Self::open_patiently(file(dir, newest)) {
            // Damaged, of another version, or no database at all.
            Err(error) if is_damaged(&error) => {
                let made = Self::open_patiently(file(dir, newest.saturating_add(1)))?;
                remove_older(dir, &made.path);
                Ok(made)
            }
            opened => opened,
        }
    }

    /// SQLite does not wait for others where the file itself is being made.
    fn open_patiently(path: Utf8PathBuf) -> rusqlite::Result<Self> {
        let began = Instant::now();
        loop {
            match Self::open_file(path.clone()) {
                Err(error) if is_busy(&error) && began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                opened => return opened,
            }
        }
    }

    fn open_file(path: Utf8PathBuf) -> rusqlite::Result<Self> {
        Self::open_with(path, OpenFlags::SQLITE_OPEN_CREATE)
    }

    fn open_with(path: Utf8PathBuf, create: OpenFlags) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let wanted = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | create;
        let made = Connection::open_with_flags(&path, wanted).and_then(|connection| {
            set_up(&connection)?;
            Ok(connection)
        });
        let connection = match made {
            // A disk that can only be read: nobody changes the file, so its log is not needed.
            Err(error) if is_read_only(&error) => {
                let flags = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                let uri = format!("file:{}?immutable=1", escaped(path.as_str()));
                let connection = Connection::open_with_flags(uri, flags)?;
                check_version(&connection)?;
                connection
            }
            made => made?,
        };
        Ok(Self { path, connection })
    }

    /// Another connection to the same file. Where that was removed meanwhile, there is none.
    pub(super) fn for_writing(&self) -> rusqlite::Result<Self> {
        let database = Self::open_with(self.path.clone(), OpenFlags::empty())?;
        database.connection.busy_timeout(PATIENCE)?;
        Ok(database)
    }

    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Fails if it can't be read.
    pub(super) fn check(&self) -> rusqlite::Result<()> {
        check_version(&self.connection)
    }

    /// The entries of a key, the last used first.
    pub(super) fn find(&self, key: &[u8; 32]) -> rusqlite::Result<Vec<Sealed>> {
        let mut select = self
            .connection
            .prepare_cached("SELECT id, key, variant, used, sealed FROM expansion WHERE key = ?1")?;
        let now = now();
        let mut found: Vec<Sealed> =
            select.query_map([key], |row| sealed(row, now))?.collect::<Result<_, _>>()?;
        // They are few, and most often one.
        found.sort_by_key(|entry| std::cmp::Reverse((entry.used, entry.id)));
        Ok(found)
    }

    /// Entries behind that one, in the order of their numbers.
    pub(super) fn after(&self, id: i64, at_most: i64) -> rusqlite::Result<Vec<Sealed>> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, key, variant, used, sealed FROM expansion WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let now = now();
        select.query_map(params![id, at_most], |row| sealed(row, now))?.collect()
    }

    pub(super) fn file(&self, path: &[u8; 32], identity: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut select =
            self.connection.prepare_cached("SELECT sealed FROM file WHERE path = ?1 AND identity = ?2")?;
        select.query_row(params![path, identity], |row| row.get(0)).optional()
    }

    pub(super) fn write(&mut self, rows: &[Row]) -> rusqlite::Result<()> {
        let now = now();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for row in rows {
            match row {
                Row::Keep { key, variant, sealed } => {
                    transaction
                        .prepare_cached(
                            "INSERT INTO expansion (key, variant, used, sealed) VALUES (?1, ?2, ?3, ?4)
                             ON CONFLICT (key, variant) DO UPDATE SET used = excluded.used, sealed = excluded.sealed",
                        )?
                        .execute(params![key, variant, now, sealed])?;
                    transaction
                        .prepare_cached(
                            "DELETE FROM expansion WHERE id IN (
                                SELECT id FROM expansion WHERE key = ?1 ORDER BY used DESC, id DESC LIMIT -1 OFFSET ?2)",
                        )?
                        .execute(params![key, VARIANTS])?
                }
                Row::Used { key, variant } => transaction
                    .prepare_cached("UPDATE expansion SET used = ?3 WHERE key = ?1 AND variant = ?2")?
                    .execute(params![key, variant, now])?,
                Row::Forget { key, variant } => transaction
                    .prepare_cached("DELETE FROM expansion WHERE key = ?1 AND variant = ?2")?
                    .execute(params![key, variant])?,
                Row::File { path, identity, sealed } => transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO file (path, identity, sealed) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![path, identity, sealed])?,
                Row::Count { remembered, run, verified } => {
                    let mut add = transaction.prepare_cached(
                        "INSERT INTO counter (name, value) VALUES (?1, ?2)
                         ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    )?;
                    for (name, value) in [("remembered", remembered), ("run", run), ("verified", verified)] {
                        add.execute(params![name, i64::try_from(*value).unwrap_or(i64::MAX)])?;
                    }
                    0
                }
            };
        }
        transaction.commit()
    }

    /// Bytes in use: what was forgotten leaves room for what comes.
    pub(super) fn size(&self) -> rusqlite::Result<u64> {
        let number = |pragma: &str| {
            self.connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
                .map(|n| n.unsigned_abs())
        };
        Ok((number("page_count")? - number("freelist_count")?.min(number("page_count")?))
            * number("page_size")?)
    }

    /// Forgets what was not used for longest, until it takes less than is allowed.
    pub(super) fn evict(&mut self, allowed: u64) -> rusqlite::Result<()> {
        let wanted = allowed / 100 * LEFT;
        loop {
            let size = self.size()?;
            let too_much = size.saturating_sub(wanted);
            let count = "SELECT count(*) FROM expansion";
            let entries = self.connection.query_row(count, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
            if too_much == 0 || entries == 0 {
                return Ok(());
            }
            // As if all were of the same size; at least some, so that there is an end to it.
            let going = u128::from(entries) * u128::from(too_much) / u128::from(size.max(1));
            let going = i64::try_from(going).unwrap_or(i64::MAX).max(8);
            self.connection.execute(
                "DELETE FROM expansion WHERE id IN (SELECT id FROM expansion ORDER BY used, id LIMIT ?1)",
                [going],
            )?;
        }
    }

    /// The same at once, and the file becomes smaller.
    pub(super) fn shrink(&mut self, allowed: u64) -> rusqlite::Result<()> {
        if self.size()? > allowed {
            self.evict(allowed)?;
        }
        // Each step of it gives back one page.
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        drop(pages);
        drop(vacuum);
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
        if let Some(dir) = self.path.parent() {
            remove_older(dir, &self.path);
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> rusqlite::Result<ExpansionStats> {
        let (entries, bytes): (i64, i64) = self.connection.query_row(
            "SELECT count(*), coalesce(sum(length(sealed)), 0) FROM expansion",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let counter = |name: &str| {
            let select = "SELECT value FROM counter WHERE name = ?1";
            let value: Option<i64> =
                self.connection.query_row(select, [name], |row| row.get(0)).optional()?;
            Ok::<u64, rusqlite::Error>(value.unwrap_or(0).unsigned_abs())
        };
        let on_disk = ["", "-wal", "-shm"]
            .iter()
            .filter_map(|ending| fs::symlink_metadata(format!("{}{ending}", self.path)).ok())
            .map(|found| found.len())
            .sum();
        Ok(ExpansionStats {
            entries: entries.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
            on_disk,
            allowed: 0,
            remembered: counter("remembered")?,
            run: counter("run")?,
            verified: counter("verified")?,
        })
    }

    /// Has everybody who opens it from now on use a new one, unless somebody else has done so.
    pub(super) fn replace(&self) -> rusqlite::Result<()> {
        let Some(dir) = self.path.parent() else { return Ok(()) };
        let own = self.path.file_name().and_then(number);
        if newest(dir) > own { Ok(()) } else { start_anew(dir) }
    }
}

/// Makes a new, empty file beside the others, which are removed. Whoever has an old one open goes on with it to the end.
pub(super) fn start_anew(dir: &Utf8Path) -> rusqlite::Result<()> {
    let next = newest(dir).map_or(1, |newest| newest.saturating_add(1));
    let made = Database::open_patiently(file(dir, next))?;
    remove_older(dir, made.path());
    Ok(())
}

fn remove_older(dir: &Utf8Path, but: &Utf8Path) {
    let Some(kept) = but.file_stem().and_then(|stem| stem.parse::<u64>().ok()) else { return };
    for entry in dir.read_dir_utf8().into_iter().flatten().flatten() {
        let number = number(entry.file_name());
        if number.is_some_and(|number| number < kept) {
            // Somebody else may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The number in `3.db`, `3.db-wal`, `3.db-shm`.
fn number(name: &str) -> Option<u64> {
    let (number, ending) = name.split_once('.')?;
    ending.starts_with(ENDING).then(|| number.parse().ok()).flatten()
}

fn newest(dir: &Utf8Path) -> Option<u64> {
    dir.read_dir_utf8().ok()?.flatten().filter_map(|entry| number(entry.file_name())).max()
}

fn file(dir: &Utf8Path, number: u64) -> Utf8PathBuf {
    dir.join(format!("{number}.{ENDING}"))
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOOK_PATIENCE)?;
    // Or SQLite plans each look anew for each key.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // What is written in the moment of a power failure may be lost; a file that is damaged by it is found out and replaced.
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA synchronous = OFF;
         PRAGMA mmap_size = 0;
         PRAGMA journal_size_limit = 16777216;",
    )?;
    let version = |connection: &Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
    };
    if version(connection)? == 0 {
        // Before there is any table, and outside of transactions.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.execute_batch("BEGIN IMMEDIATE;")?;
        // Somebody else may have made the tables meanwhile.
        let made = match version(connection)? {
            0 => connection.execute_batch(&format!(
                "{TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            )),
            _ => Ok(()),
        };
        connection.execute_batch(if made.is_ok() { "COMMIT;" } else { "ROLLBACK;" })?;
        made?;
    }
    check_version(connection)
}

fn check_version(connection: &Connection) -> rusqlite::Result<()> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if (number("application_id")?, number("user_version")?) == (APPLICATION, VERSION) {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
    Err(rusqlite::Error::SqliteFailure(code, Some("it is of another version".to_owned())))
}

/// Whether a new file may be better.
pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, InvalidColumnType, SqlInputError, SqliteFailure};
    match error {
        SqliteFailure(failed, _) => {
            matches!(failed.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        // Tables that are not ours, or what is in them.
        SqlInputError { .. } | InvalidColumnType(..) | FromSqlConversionFailure(..) => true,
        _ => false,
    }
}

/// Whether somebody else has it, and for long.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn is_read_only(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
    )
}

/// A path in a URI. Source: sqlite.org/uri.html
fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

fn sealed(row: &rusqlite::Row<'_>, now: i64) -> rusqlite::Result<Sealed> {
    let used: i64 = row.get(3)?;
    Ok(Sealed {
        id: row.get(0)?,
        key: row.get(1)?,
        variant: row.get(2)?,
        // A clock that was set back counts as well.
        stale: !(0..STALE).contains(&now.saturating_sub(used)),
        used,
        sealed: row.get(4)?,
    })
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

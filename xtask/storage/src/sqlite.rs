//! SQLite in WAL mode, one table.
//!
//! Options: `rowid`/`worowid`, page size `4k`/`8k`/`16k`, synchronous
//! `off`/`normal`, `mmap` (1 GiB), `vacuum` (auto_vacuum=INCREMENTAL).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::data::Key;
use crate::store::{Entry, Result, Store};

pub struct Sqlite {
    db: Connection,
    vacuum: bool,
}

impl Sqlite {
    pub fn open(dir: &Path, options: &[&str]) -> Result<Self> {
        let has = |name| options.contains(&name);
        let db = Connection::open(dir.join("store.db"))?;
        db.busy_timeout(Duration::from_secs(10))?;
        // Not whether the file exists: another process may be about to fill it.
        let fresh: bool = db.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
            row.get(0)
        })?;
        if fresh {
            let page = if has("16k") {
                16384
            } else if has("8k") {
                8192
            } else {
                4096
            };
            db.pragma_update(None, "page_size", page)?;
            if has("vacuum") {
                db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            }
            db.pragma_update(None, "journal_mode", "WAL")?;
            let tail = if has("worowid") { "WITHOUT ROWID" } else { "" };
            db.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS entry(\
                 key BLOB PRIMARY KEY, used INTEGER NOT NULL, body BLOB NOT NULL) {tail}"
            ))?;
        }
        let level = if has("normal") { "NORMAL" } else { "OFF" };
        db.pragma_update(None, "synchronous", level)?;
        db.pragma_update(None, "cell_size_check", true)?;
        if has("mmap") {
            db.pragma_update(None, "mmap_size", 1i64 << 30)?;
        }
        Ok(Sqlite {
            db,
            vacuum: has("vacuum"),
        })
    }
}

impl Store for Sqlite {
    fn get(&mut self, _unit: u64, key: &Key) -> Result<Option<Vec<u8>>> {
        let mut query = self
            .db
            .prepare_cached("SELECT body FROM entry WHERE key = ?1")?;
        Ok(query.query_row([&key[..]], |row| row.get(0)).optional()?)
    }

    fn insert(&mut self, _unit: u64, entries: &[Entry], now: i64) -> Result<()> {
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO entry VALUES(?1, ?2, ?3)")?;
            for (key, body) in entries {
                insert.execute(params![&key[..], now, body])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn touch(&mut self, _unit: u64, keys: &[Key], now: i64) -> Result<()> {
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut update = transaction
                .prepare_cached("UPDATE entry SET used = ?2 WHERE key = ?1 AND used < ?2")?;
            for key in keys {
                update.execute(params![&key[..], now])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn evict(&mut self, count: u64) -> Result<()> {
        let last: i64 = self.db.query_row(
            "SELECT used FROM entry ORDER BY used LIMIT 1 OFFSET ?1",
            [count.saturating_sub(1) as i64],
            |row| row.get(0),
        )?;
        self.db
            .execute("DELETE FROM entry WHERE used <= ?1", [last])?;
        if self.vacuum {
            // The pragma frees one page each time it is stepped.
            let mut vacuum = self.db.prepare("PRAGMA incremental_vacuum")?;
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }
}

//! LMDB: one named database for the values, one for their times of use.
//!
//! Options: `nosync` (no fsync at all) or `nometasync`.

use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use crate::data::Key;
use crate::store::{Entry, Result, Store};

/// Address space only; the file grows as it is written.
const MAP_SIZE: usize = 4 << 30;

type Db = Database<'static, Bytes, Bytes>;

pub struct Lmdb {
    env: Env,
    dbs: Option<(Db, Db)>,
}

impl Lmdb {
    pub fn open(dir: &Path, options: &[&str]) -> Result<Self> {
        let flags = if options.contains(&"nosync") {
            EnvFlags::NO_SYNC
        } else {
            EnvFlags::NO_META_SYNC
        };
        let mut open = EnvOpenOptions::new();
        open.map_size(MAP_SIZE).max_dbs(2);
        // SAFETY: there is none. Whatever changes the file under the map is
        // undefined behaviour, which is one of the points of the comparison.
        let env = unsafe {
            open.flags(flags);
            open.open(dir)?
        };
        let dbs = env
            .open_databases_and_commit(env.read_txn()?, |opener, read| {
                let body = opener.open_database::<Bytes, Bytes>(read, Some("body"))?;
                let used = opener.open_database::<Bytes, Bytes>(read, Some("used"))?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((body, used)))
            })?
            .unwrap_commit();
        let dbs = match dbs {
            (Some(body), Some(used)) => Some((body, used)),
            _ => None,
        };
        Ok(Lmdb { env, dbs })
    }

    fn writable(&mut self) -> Result<(Db, Db)> {
        if let Some(dbs) = self.dbs {
            return Ok(dbs);
        }
        let dbs = self
            .env
            .create_databases_and_commit(self.env.write_txn()?, |opener, write| {
                let body = opener.create_database::<Bytes, Bytes>(write, Some("body"))?;
                let used = opener.create_database::<Bytes, Bytes>(write, Some("used"))?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((body, used)))
            })?
            .unwrap_commit();
        self.dbs = Some(dbs);
        Ok(dbs)
    }
}

impl Store for Lmdb {
    fn get(&mut self, _unit: u64, key: &Key) -> Result<Option<Vec<u8>>> {
        let Some((body, _)) = self.dbs else {
            return Ok(None);
        };
        let read = self.env.read_txn()?;
        Ok(body.get(&read, key)?.map(<[u8]>::to_vec))
    }

    fn insert(&mut self, _unit: u64, entries: &[Entry], now: i64) -> Result<()> {
        let (body, used) = self.writable()?;
        let mut write = self.env.write_txn()?;
        for (key, value) in entries {
            body.put(&mut write, key, value)?;
            used.put(&mut write, key, &now.to_le_bytes())?;
        }
        Ok(write.commit()?)
    }

    fn touch(&mut self, _unit: u64, keys: &[Key], now: i64) -> Result<()> {
        let (_, used) = self.writable()?;
        let mut write = self.env.write_txn()?;
        for key in keys {
            used.put(&mut write, key, &now.to_le_bytes())?;
        }
        Ok(write.commit()?)
    }

    fn evict(&mut self, count: u64) -> Result<()> {
        let (body, used) = self.writable()?;
        let mut write = self.env.write_txn()?;
        let mut all = Vec::new();
        for entry in used.iter(&write)? {
            let (key, time) = entry?;
            let time = i64::from_le_bytes(time.try_into().unwrap_or_default());
            all.push((time, key.to_vec()));
        }
        all.sort_unstable();
        for (_, key) in all.iter().take(count as usize) {
            body.delete(&mut write, key)?;
            used.delete(&mut write, key)?;
        }
        Ok(write.commit()?)
    }
}

//! Buckets and what is in them, with every version ever held.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::multipart::Upload;
use super::object::{Object, PutOptions};

/// Cached listing pages of a bucket are dropped beyond this many bytes.
const PAGES_LIMIT: usize = 256 << 20;

/// All that the server holds.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) uploads: HashMap<String, Upload>,
    /// Whether replaced and deleted versions are kept for tests to compare with.
    pub(super) keep_history: bool,
    pub(super) serial: u64,
}

/// A bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// In the order of S3's listings: by the bytes of the key.
    pub(super) objects: BTreeMap<Arc<str>, Arc<Object>>,
    history: HashMap<Arc<str>, Vec<Bytes>>,
    /// Listing pages by query, as long as nothing changes: listing 20,000 keys again then costs
    /// the server the sending only, which matters where client and server share two cores.
    pages: HashMap<String, Bytes>,
    pages_size: usize,
}

impl Store {
    pub(super) fn bucket(&mut self, name: &str) -> &mut Bucket {
        if !self.buckets.contains_key(name) {
            self.buckets.insert(name.to_owned(), Bucket::default());
        }
        self.buckets.entry(name.to_owned()).or_default()
    }

    /// A number that no other upload has.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn put(
        &mut self,
        bucket: &str,
        key: &str,
        data: Bytes,
        options: PutOptions,
    ) -> Arc<Object> {
        let serial = self.next_serial();
        let object = Arc::new(Object::new(data, options, serial));
        self.insert(bucket, key, Arc::clone(&object));
        object
    }

    pub(super) fn insert(&mut self, bucket: &str, key: &str, object: Arc<Object>) {
        let keep_history = self.keep_history;
        let bucket = self.bucket(bucket);
        bucket.forget_pages();
        let key: Arc<str> = Arc::from(key);
        if keep_history {
            bucket
                .history
                .entry(Arc::clone(&key))
                .or_default()
                .push(object.data.clone());
        }
        bucket.objects.insert(key, object);
    }
}

impl Bucket {
    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<Object>> {
        self.forget_pages();
        self.objects.remove(key)
    }

    pub(super) fn history(&self, key: &str) -> Vec<Bytes> {
        self.history.get(key).cloned().unwrap_or_default()
    }

    pub(super) fn page(&self, query: &str) -> Option<Bytes> {
        self.pages.get(query).cloned()
    }

    pub(super) fn keep_page(&mut self, query: String, page: Bytes) {
        if self.pages_size + page.len() > PAGES_LIMIT {
            self.forget_pages();
        }
        self.pages_size += page.len();
        self.pages.insert(query, page);
    }

    fn forget_pages(&mut self) {
        self.pages.clear();
        self.pages_size = 0;
    }
}

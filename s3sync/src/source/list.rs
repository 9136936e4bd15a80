//! A complete listing, page by page, and the one object that this tool ever puts.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::error::ErrorMetadata;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::types::{EncodingType, OptionalObjectAttributes};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextMut, Error, Output,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::config_bag::ConfigBag;

use super::explain::{Operation, Trouble};
use super::page::{self, APPROVE, Page};
use super::trouble::{self, ErrorBody, RefusedPage};
use super::{Approval, Listing, Source, SourceError};

impl Source {
    /// Lists everything below the prefix, a LIST request for each 1,000 keys. Where it meets the pointer
    /// to a release it ends: what is wanted is then the release's to say.
    ///
    /// # Errors
    /// When not every page came, or one cannot be trusted: there is no partial listing.
    pub async fn list(&self) -> Result<Listing, SourceError> {
        let mut listing = Listing::default();
        let mut tokens = HashSet::new();
        let mut next = None;
        loop {
            let (page, date) = self.page(next.take()).await?;
            listing.pages += 1;
            listing.server_time = date.or(listing.server_time);
            if page.pointer {
                return Ok(Listing {
                    pages: listing.pages,
                    server_time: listing.server_time,
                    pointer: true,
                    ..Listing::default()
                });
            }
            append(&mut listing.objects, page.objects);
            listing.undecodable.extend(page.undecodable);
            listing.approvals.extend(page.approvals);
            let Some(token) = page.next else { break };
            if !tokens.insert(token.clone()) {
                return Err(self.refused("its NextContinuationToken came before"));
            }
            next = Some(token);
        }
        listing.objects.shrink_to_fit();
        // General purpose buckets list in this order, directory buckets in none.
        if !listing.objects.is_sorted_by(|a, b| a.key < b.key) {
            listing.objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            if let Some(twice) = listing
                .objects
                .windows(2)
                .find(|pair| pair[0].key == pair[1].key)
            {
                return Err(self.refused(&format!(
                    "it holds a key twice, `{}`",
                    twice[0].key.escape_debug()
                )));
            }
        }
        Ok(listing)
    }

    /// Releases a held set of deletes: puts an empty object `.s3sync/approve/ID` below the prefix.
    ///
    /// # Errors
    /// As S3 answers the PUT.
    pub async fn approve(&self, id: &str) -> Result<(), SourceError> {
        let key = format!("{APPROVE}{id}");
        let put = self
            .client
            .put_object()
            .bucket(&self.location.bucket)
            .key(format!("{}{key}", self.location.prefix));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(
                Operation::Put,
                &self.location.uri_of(&key),
                &trouble::of(&error),
            )),
        }
    }

    /// The requests to release a held set of deletes, where no listing showed them.
    ///
    /// # Errors
    /// As S3 answers the LIST.
    pub async fn approvals(&self) -> Result<(Vec<Approval>, Option<i64>), SourceError> {
        let list = self.list_below(APPROVE).await?;
        let approvals = list.objects.into_iter().filter_map(|object| {
            let id = object.key.strip_prefix(APPROVE)?;
            (!id.is_empty() && !id.contains('/')).then(|| Approval {
                id: id.to_owned(),
                modified: object.modified,
            })
        });
        Ok((approvals.collect(), list.server_time))
    }

    async fn page(&self, token: Option<String>) -> Result<Read, SourceError> {
        let reader = PageReader {
            bucket: self.location.bucket.clone(),
            prefix: self.location.prefix.clone(),
            page: Arc::default(),
        };
        let page = Arc::clone(&reader.page);
        let mut request = self
            .client
            .list_objects_v2()
            .bucket(&self.location.bucket)
            .set_continuation_token(token)
            .encoding_type(EncodingType::Url);
        if !self.location.prefix.is_empty() {
            request = request.prefix(&self.location.prefix);
        }
        if !self.location.is_directory_bucket() {
            request = request.optional_object_attributes(OptionalObjectAttributes::RestoreStatus);
        }
        let sent = request
            .customize()
            .interceptor(ReadPages(Mutex::new(Some(reader))))
            .send()
            .await;
        if let Err(error) = sent {
            let uri = self.location.to_string();
            return Err(self.error(Operation::List, &uri, &trouble::of(&error)));
        }
        let page = page.lock().unwrap_or_else(PoisonError::into_inner).take();
        page.ok_or_else(|| self.refused("it was not read"))
    }

    fn refused(&self, reason: &str) -> SourceError {
        self.error(
            Operation::List,
            &self.location.to_string(),
            &Trouble::Page(reason.to_owned()),
        )
    }
}

/// Appends without growing to twice the size: a listing is most of this program's memory.
fn append<T>(all: &mut Vec<T>, mut more: Vec<T>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.reserve_exact(more.len().max(all.len() / 8));
        all.append(&mut more);
    }
}

/// A page, and the server's time by its answer.
type Read = (Page, Option<i64>);

/// Puts [`PageReader`] in the place of the SDK's deserializer of this operation.
#[derive(Debug)]
struct ReadPages(Mutex<Option<PageReader>>);

#[dyn_dispatch_hint]
impl Intercept for ReadPages {
    fn name(&self) -> &'static str {
        "ReadPages"
    }

    fn modify_before_serialization(
        &self,
        _context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(reader) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            config
                .interceptor_state()
                .store_put(SharedResponseDeserializer::new(reader));
        }
        Ok(())
    }
}

/// Reads a page where the SDK would make an object of every element, and leaves it in `page`.
/// Called again for each attempt.
#[derive(Debug)]
struct PageReader {
    bucket: String,
    prefix: String,
    page: Arc<Mutex<Option<Read>>>,
}

impl DeserializeResponse for PageReader {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _config: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        let body = response.body().bytes().unwrap_or_default();
        if !response.status().is_success() {
            let error = ErrorBody::read(body);
            let metadata = ErrorMetadata::builder()
                .code(error.code)
                .message(error.message)
                .build();
            return Err(OrchestratorError::operation(Error::erase(
                ListObjectsV2Error::generic(metadata),
            )));
        }
        match page::parse(body, &self.bucket, &self.prefix) {
            Ok(page) => {
                let read = (page, trouble::date(response.headers()));
                *self.page.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
                Ok(Output::erase(ListObjectsV2Output::builder().build()))
            }
            // As a broken response it is asked for again, which a refused operation would not be.
            Err(reason) => Err(OrchestratorError::response(RefusedPage(reason).into())),
        }
    }
}

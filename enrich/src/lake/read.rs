//! Reading a data file in pieces: the footer, then the columns that are asked for, one row group at a time.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::Lake;

/// The rows of a file, a few thousand at a time.
pub(super) type Rows = ParquetRecordBatchStream<StoredFile>;

/// A Parquet file in the table's store.
#[derive(Debug)]
pub(super) struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    byte_count: u64,
}

impl Lake {
    /// The rows of a file of this size with all columns, or with those named that it has.
    pub(super) async fn rows(&self, path: &Path, byte_count: u64, columns: Option<&[&'static str]>) -> Result<Rows> {
        let file = StoredFile { store: Arc::clone(&self.store), path: path.clone(), byte_count };
        let mut builder = ParquetRecordBatchStreamBuilder::new(file).await?;
        if let Some(columns) = columns {
            let fields = builder.schema().fields().iter().enumerate();
            let asked = fields.filter(|(_, field)| columns.contains(&field.name().as_str()));
            let roots: Vec<usize> = asked.map(|(index, _)| index).collect();
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            builder = builder.with_projection(mask);
        }
        builder.build()
    }
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { self.store.get_range(&self.path, range).await.map_err(from_store) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(from_store) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let byte_count = self.byte_count;
            ParquetMetaDataReader::new().load_and_finish(self, byte_count).await.map(Arc::new)
        }
        .boxed()
    }
}

fn from_store(error: object_store::Error) -> ParquetError {
    ParquetError::External(error.into())
}

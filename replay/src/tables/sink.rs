//! Encodes rows and writes them to a file.

use super::{Format, Table, TableError};
use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use std::io::{BufWriter, Write};
use std::sync::Arc;

/// Most rows of a record batch (Arrow) or row group (Parquet): those of a chunk of the default
/// size.
pub(super) const GROUP_ROWS: usize = 1 << 18;

/// Fewer rows than this are put together with what comes next.
const SMALL_ROWS: usize = GROUP_ROWS / 8;

type File<'w> = &'w mut (dyn Write + Send);

/// Rows of a table that were put together by a thread.
pub(super) struct Piece {
    table: Table,
    rows: Rows,
}

enum Rows {
    Plain(RecordBatch),
    Encoded(Group),
}

/// A row group that only has to be appended.
struct Group {
    rows: usize,
    columns: Vec<ArrowColumnChunk>,
}

impl Piece {
    pub(super) fn table(&self) -> Table {
        self.table
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.rows {
            Rows::Plain(batch) => batch.get_array_memory_size(),
            Rows::Encoded(group) => {
                let bytes = group.columns.iter().map(|c| c.close().bytes_written);
                usize::try_from(bytes.sum::<u64>()).unwrap_or(usize::MAX)
            }
        }
    }
}

/// Makes pieces.
#[derive(Clone)]
pub(super) struct Encoder {
    table: Table,
    schema: SchemaRef,
    /// Of a Parquet file.
    factory: Option<Arc<ArrowRowGroupWriterFactory>>,
}

impl Encoder {
    pub(super) fn table(&self) -> Table {
        self.table
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A piece of these rows. This is where the time goes, so it is done on the thread that made
    /// them.
    pub(super) fn piece(&self, batch: RecordBatch) -> Result<Piece, TableError> {
        let rows = match &self.factory {
            Some(factory) if batch.num_rows() >= SMALL_ROWS => {
                Rows::Encoded(encode(factory, &batch).map_err(|e| self.parquet(e))?)
            }
            _ => Rows::Plain(batch),
        };
        Ok(Piece {
            table: self.table,
            rows,
        })
    }

    pub(super) fn arrow(&self, error: ArrowError) -> TableError {
        arrow_error(self.table, error)
    }

    fn parquet(&self, error: ParquetError) -> TableError {
        parquet_error(self.table, error)
    }
}

fn encode(
    factory: &ArrowRowGroupWriterFactory,
    batch: &RecordBatch,
) -> Result<Group, ParquetError> {
    // The number of the group matters to encrypted files only.
    let writers = factory.create_column_writers(0)?;
    let fields = batch.schema_ref().fields().iter();
    let mut columns = Vec::with_capacity(writers.len());
    for ((mut writer, field), array) in writers.into_iter().zip(fields).zip(batch.columns()) {
        for leaf in compute_leaves(field, array)? {
            writer.write(&leaf)?;
        }
        columns.push(writer.close()?);
    }
    Ok(Group {
        rows: batch.num_rows(),
        columns,
    })
}

fn arrow_error(table: Table, error: ArrowError) -> TableError {
    match error {
        ArrowError::IoError(_, source) => TableError::Write { table, source },
        ArrowError::ExternalError(error) => external(table, error),
        other => TableError::Encode {
            table,
            what: other.to_string(),
        },
    }
}

fn parquet_error(table: Table, error: ParquetError) -> TableError {
    match error {
        ParquetError::External(error) => external(table, error),
        other => TableError::Encode {
            table,
            what: other.to_string(),
        },
    }
}

fn external(table: Table, error: Box<dyn std::error::Error + Send + Sync>) -> TableError {
    match error.downcast::<std::io::Error>() {
        Ok(source) => TableError::Write {
            table,
            source: *source,
        },
        Err(other) => TableError::Encode {
            table,
            what: other.to_string(),
        },
    }
}

enum Writer<'w> {
    Arrow(Box<FileWriter<BufWriter<File<'w>>>>),
    Parquet(Box<SerializedFileWriter<File<'w>>>),
}

/// A file that is being written.
pub(super) struct Sink<'w> {
    encoder: Encoder,
    writer: Writer<'w>,
    /// Rows that are too few for a group of their own.
    small: Vec<RecordBatch>,
    small_rows: usize,
    rows: u64,
}

impl<'w> Sink<'w> {
    pub(super) fn new(
        table: Table,
        format: Format,
        schema: SchemaRef,
        file: File<'w>,
    ) -> Result<Sink<'w>, TableError> {
        let (writer, factory) = match format {
            Format::Arrow => {
                let writer = FileWriter::try_new(BufWriter::with_capacity(1 << 20, file), &schema);
                let writer = writer.map_err(|e| arrow_error(table, e))?;
                (Writer::Arrow(Box::new(writer)), None)
            }
            Format::Parquet => {
                let options = ArrowWriterOptions::new().with_properties(properties(&schema));
                let parts = ArrowWriter::try_new_with_options(file, schema.clone(), options)
                    .and_then(ArrowWriter::into_serialized_writer);
                let (writer, factory) = parts.map_err(|e| parquet_error(table, e))?;
                (Writer::Parquet(Box::new(writer)), Some(Arc::new(factory)))
            }
        };
        Ok(Sink {
            encoder: Encoder {
                table,
                schema,
                factory,
            },
            writer,
            small: Vec::new(),
            small_rows: 0,
            rows: 0,
        })
    }

    pub(super) fn table(&self) -> Table {
        self.encoder.table
    }

    pub(super) fn encoder(&self) -> Encoder {
        self.encoder.clone()
    }

    /// Appends rows.
    pub(super) fn put(&mut self, piece: Piece) -> Result<(), TableError> {
        match piece.rows {
            Rows::Plain(batch) if batch.num_rows() < SMALL_ROWS => {
                self.small_rows += batch.num_rows();
                self.small.push(batch);
                if self.small_rows > GROUP_ROWS - SMALL_ROWS {
                    self.flush()?;
                }
                Ok(())
            }
            Rows::Plain(batch) => {
                self.flush()?;
                self.append(&batch)
            }
            Rows::Encoded(group) => {
                self.flush()?;
                self.append_group(group)
            }
        }
    }

    fn flush(&mut self) -> Result<(), TableError> {
        self.small_rows = 0;
        let small = std::mem::take(&mut self.small);
        match &small[..] {
            [] => Ok(()),
            [one] => self.append(one),
            many => {
                let batch = concat_batches(&self.encoder.schema, many);
                self.append(&batch.map_err(|e| self.encoder.arrow(e))?)
            }
        }
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if let Writer::Arrow(writer) = &mut self.writer {
            self.rows += batch.num_rows() as u64;
            return writer.write(batch).map_err(|e| self.encoder.arrow(e));
        }
        let Some(factory) = &self.encoder.factory else {
            return Ok(());
        };
        let group = encode(factory, batch).map_err(|e| self.encoder.parquet(e))?;
        self.append_group(group)
    }

    fn append_group(&mut self, group: Group) -> Result<(), TableError> {
        let Writer::Parquet(writer) = &mut self.writer else {
            return Ok(());
        };
        self.rows += group.rows as u64;
        let append = || {
            let mut row_group = writer.next_row_group()?;
            for column in group.columns {
                column.append_to_row_group(&mut row_group)?;
            }
            row_group.close()?;
            Ok(())
        };
        append().map_err(|e| self.encoder.parquet(e))
    }

    /// Writes what is left. The number of rows.
    pub(super) fn finish(mut self) -> Result<u64, TableError> {
        self.flush()?;
        match &mut self.writer {
            Writer::Arrow(writer) => {
                let finished = writer.finish().and_then(|()| writer.flush());
                finished.map_err(|e| self.encoder.arrow(e))?;
            }
            Writer::Parquet(writer) => {
                let finished = writer.finish();
                finished.map_err(|e| self.encoder.parquet(e))?;
            }
        }
        Ok(self.rows)
    }
}

fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut metadata: Vec<KeyValue> = schema
        .metadata()
        .iter()
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()))
        .collect();
    metadata.sort_by(|a, b| a.key.cmp(&b.key));
    let step = ColumnPath::from("step");
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(metadata))
        // Steps count up: differences take no room.
        .set_column_dictionary_enabled(step.clone(), false)
        .set_column_encoding(step, Encoding::DELTA_BINARY_PACKED)
        .build()
}

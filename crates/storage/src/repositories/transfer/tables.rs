//! Every table, in an order in which rows come after those that they refer to.

use sea_orm::{EntityTrait, IntoActiveModel};

use super::TransferError;
use crate::entities;

/// A table whose rows can be moved.
pub(super) trait Table:
    EntityTrait<Model: IntoActiveModel<<Self as EntityTrait>::ActiveModel>>
{
    /// Its name.
    fn name() -> &'static str {
        Self::default().table_name()
    }
}

impl<E> Table for E where E: EntityTrait<Model: IntoActiveModel<<E as EntityTrait>::ActiveModel>> {}

/// Something to do with each table.
pub(super) trait Visitor {
    async fn table<E: Table>(&mut self) -> Result<(), TransferError>;
}

/// Lists the tables once, for all who go over them.
macro_rules! tables {
    ($($table:ident),+ $(,)?) => {
        /// Does it with each table, one after the other.
        pub(super) async fn visit(visitor: &mut impl Visitor) -> Result<(), TransferError> {
            $(visitor.table::<entities::$table::Entity>().await?;)+
            Ok(())
        }

        /// Lists the tables with their columns.
        #[cfg(test)]
        pub(super) fn columns() -> Vec<(&'static str, Vec<&'static str>)> {
            use sea_orm::{IdenStatic, Iterable};

            vec![$((
                entities::$table::Entity::name(),
                entities::$table::Column::iter().map(|column| column.as_str()).collect(),
            )),+]
        }
    };
}

// A table of a new migration belongs here; a test compares this list with the schema.
tables!(
    account,
    api_key,
    catalogue_model,
    deployment,
    deployment_model,
    catalogue_file,
    price,
    bucket,
    credit,
    level_package,
    usage_day,
    bucket_day,
    ledger_row,
    ledger_state,
    revision,
);

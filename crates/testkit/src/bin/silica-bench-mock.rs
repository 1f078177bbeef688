//! The engine behind the gateway benchmark, see `bench/README.md`.
//!
//! usage: `silica-bench-mock ADDRESS CHUNKS GAP_MILLISECONDS`

use std::error::Error;
use std::time::Duration;

use silica_testkit::BenchMock;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, chunks, gap] = arguments.as_slice() else {
        return Err("usage: silica-bench-mock ADDRESS CHUNKS GAP_MILLISECONDS".into());
    };
    let mock = BenchMock::new(chunks.parse()?, Duration::from_millis(gap.parse()?));
    // One thread: the machine's cores are shared with the gateway under test.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let failure = runtime.block_on(async { mock.serve(TcpListener::bind(address).await?).await });
    match failure {
        Err(error) => Err(error.into()),
        Ok(never) => match never {},
    }
}

//! Nodes of a Redis Cluster that become one.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::broker::{connect, free_port};

/// Where a node is, and its share of the slots.
pub(crate) struct Place {
    pub(crate) port: u16,
    bus_port: u16,
    slots: &'static str,
}

impl Place {
    pub(crate) fn three() -> io::Result<[Self; 3]> {
        let place = |slots| {
            let (port, bus_port) = (free_port()?, free_port()?);
            Ok::<_, io::Error>(Self { port, bus_port, slots })
        };
        Ok([place("0 5460")?, place("5461 10922")?, place("10923 16383")?])
    }

    pub(crate) fn options(&self) -> [String; 6] {
        let (bus_port, file) = (self.bus_port, format!("sockeye-bench-{}.conf", self.port));
        let options =
            format!("--cluster-enabled yes --cluster-port {bus_port} --cluster-config-file {file}");
        let mut options = options.split(' ').map(str::to_owned);
        std::array::from_fn(|_| options.next().unwrap_or_default())
    }

    async fn ask(&self, commands: &str) -> io::Result<String> {
        let mut stream = connect(self.port).await?;
        stream.write_all(format!("{commands}\r\nQUIT\r\n").as_bytes()).await?;
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await?;
        Ok(answers)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let file = format!("sockeye-bench-{}.conf", self.port);
        let _ = std::fs::remove_file(std::env::temp_dir().join(file));
    }
}

/// Until each of them says that all slots are served by the three.
pub(crate) async fn join(places: &[Place]) -> io::Result<()> {
    for (number, place) in places.iter().enumerate() {
        let epoch = number + 1;
        let slots = format!("CLUSTER ADDSLOTSRANGE {}", place.slots);
        place.ask(&format!("{slots}\r\nCLUSTER SET-CONFIG-EPOCH {epoch}")).await?;
    }
    for other in &places[1..] {
        let (port, bus_port) = (other.port, other.bus_port);
        places[0].ask(&format!("CLUSTER MEET 127.0.0.1 {port} {bus_port}")).await?;
    }
    for place in places {
        let is_whole =
            |info: &str| info.contains("cluster_state:ok") && info.contains("cluster_size:3");
        while !is_whole(&place.ask("CLUSTER INFO").await?) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

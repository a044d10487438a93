// After the last test: a jest that does not end within half a minute says what is still open, and ends as a failure. Without this it would wait for ever.

const seconds = 30;

export default function watchTheEnd() {
  setTimeout(() => {
    const { libuv } = process.report.getReport();
    const open = libuv.filter(({ type, is_active, is_referenced }) => type !== "loop" && is_active && is_referenced);
    console.error(`jest did not end within ${seconds} s of its last test; open are ${JSON.stringify(process.getActiveResourcesInfo())}`);
    for (const handle of open) console.error(JSON.stringify(handle));
    for (const { pid, spawnargs } of process._getActiveHandles())
      if (pid !== undefined) console.error(`process ${pid}: ${spawnargs?.join(" ")}`);
    process.exit(1);
  }, seconds * 1000).unref();
}

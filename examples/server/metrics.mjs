// What the service counts of itself, in the text format that Prometheus reads.

const latencyBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]; // seconds

export class Metrics {
  #requests = new Map(); // by status
  #latencies = latencyBounds.map(() => 0);
  #seconds = 0;
  #scored = 0;
  #batches = 0;
  #images = 0;
  #verdicts = { true: 0, false: 0 };

  /** A request for a score has been answered. */
  answered(status, seconds) {
    this.#requests.set(status, (this.#requests.get(status) ?? 0) + 1);
    if (status !== 200) return;
    this.#scored++;
    this.#seconds += seconds;
    latencyBounds.forEach((bound, i) => (this.#latencies[i] += seconds <= bound ? 1 : 0));
  }

  /** A batch has been computed. */
  computed(results) {
    this.#batches++;
    this.#images += results.length;
    for (const { value } of results) if (value !== undefined) this.#verdicts[value.outOfDistribution]++;
  }

  /** @param pending - requests that are accepted and not answered */
  text(pending) {
    const lines = [];
    const metric = (name, type, help, samples) => {
      lines.push(`# HELP detector_${name} ${help}`, `# TYPE detector_${name} ${type}`);
      for (const [labels, value] of samples) lines.push(`detector_${name}${labels} ${value}`);
    };
    metric(
      "requests_total",
      "counter",
      "Requests for a score, by status of the answer.",
      [...this.#requests].map(([status, count]) => [`{status="${status}"}`, count]),
    );
    metric("pending_requests", "gauge", "Requests that are accepted and not answered.", [["", pending]]);
    metric("resident_bytes", "gauge", "Memory of the process.", [["", process.memoryUsage.rss()]]);
    metric("batches_total", "counter", "Batches computed.", [["", this.#batches]]);
    metric("images_total", "counter", "Images in those batches.", [["", this.#images]]);
    metric(
      "verdicts_total",
      "counter",
      "Verdicts given.",
      Object.entries(this.#verdicts).map(([flagged, count]) => [`{out_of_distribution="${flagged}"}`, count]),
    );
    metric("request_seconds", "histogram", "From the headers of a request to its verdict.", [
      ...latencyBounds.map((bound, i) => [`_bucket{le="${bound}"}`, this.#latencies[i]]),
      ['_bucket{le="+Inf"}', this.#scored],
      ["_sum", this.#seconds],
      ["_count", this.#scored],
    ]);
    return `${lines.join("\n")}\n`;
  }
}

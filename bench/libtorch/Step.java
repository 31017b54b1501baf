import ai.djl.Device;
import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.GradientCollector;
import ai.djl.training.Trainer;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/**
 * One side of bench/train: the training step of a current libtorch, the library that
 * PyTorch is a wrapper of, by way of DJL. java Step.java MODULE BATCH RUNS, where MODULE is
 * what torchmodule.py wrote; OMP_NUM_THREADS is the number of threads. Prints the JSON that
 * torchstep.py prints, without the memory, which would have Java's in it.
 */
class Step {
    public static void main(String[] args) throws Exception {
        Path module = Path.of(args[0]);
        int batch = Integer.parseInt(args[1]);
        double[] took = new double[Integer.parseInt(args[2])];
        Optimizer sgd = Optimizer.sgd().setLearningRateTracker(Tracker.fixed(0.01f)).optMomentum(0.9f).optWeightDecays(4e-5f).build();
        try (Model model = Model.newInstance("net", Device.cpu(), "PyTorch")) {
            model.load(module.getParent(), module.getFileName().toString(), Map.of("trainParam", "true"));
            try (Trainer trainer = model.newTrainer(new DefaultTrainingConfig(Loss.softmaxCrossEntropyLoss()).optOptimizer(sgd))) {
                NDManager manager = trainer.getManager();
                NDArray x = manager.randomNormal(new Shape(batch, 3, 224, 224));
                NDArray labels = manager.randomInteger(0, 1000, new Shape(batch), DataType.INT64);
                for (int i = -3; i < took.length; i++) {
                    long start = System.nanoTime();
                    step(trainer, new NDList(x, labels));
                    if (i >= 0) {
                        took[i] = (System.nanoTime() - start) / 1e6;
                    }
                }
            }
        }
        Arrays.sort(took);
        System.out.printf("{\"min_ms\": %f, \"median_ms\": %f, \"version\": \"libtorch %s\"}%n",
            took[0], (took[(took.length - 1) / 2] + took[took.length / 2]) / 2, Engine.getEngine("PyTorch").getVersion());
    }

    static void step(Trainer trainer, NDList batch) {
        try (GradientCollector collector = trainer.newGradientCollector();
                NDArray loss = trainer.forward(batch).singletonOrThrow()) {
            collector.backward(loss);
        }
        trainer.step();
    }
}

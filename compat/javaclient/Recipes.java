final class Recipes {
    Recipes(String server) {
    }

    void run() {
    }
}
